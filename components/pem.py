"""Public keys and certificates in PEM, as they stand in site files. Pure."""

from __future__ import annotations

import re

_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----\n((?:[A-Za-z0-9+/]+={0,2}\n)+)-----END \1-----\n")


class NotPem(ValueError):
    """Why a text is not what it should be, as the end of a sentence."""


def public_key(text: str) -> str:
    """The text of one public key that cosign can verify with, line by line. Raises ``NotPem``."""
    lines = _lines(text, "PUBLIC KEY")
    if lines.count("-----BEGIN") > 1:
        raise NotPem("it holds more than one key")
    # Imported when there is something to parse: it takes 0.1 s.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(lines.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise NotPem("its bytes are no public key: it is cut short, or has been changed") from None
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
        raise NotPem("cosign does not know this kind of key")
    return lines


def certificates(text: str) -> str:
    """The text of one or more certificates, line by line. Raises ``NotPem``."""
    lines = _lines(text, "CERTIFICATE")
    from cryptography.x509 import load_pem_x509_certificates

    try:
        load_pem_x509_certificates(lines.encode())
    except ValueError:
        raise NotPem("its bytes are no certificate: it is cut short, or has been changed") from None
    return lines


def _lines(text: str, label: str) -> str:
    if text.startswith("-----BEGIN") and "-----END" in text.partition("\n")[0]:
        raise NotPem("its lines have been joined: with `|` after the colon the line ends stay, with `>` they do not")
    lines = "".join(f"{line.strip()}\n" for line in text.splitlines() if line.strip())
    blocks = list(_BLOCK.finditer(lines))
    if not blocks or "".join(block[0] for block in blocks) != lines:
        raise NotPem(f"it is not lines of base64 between `-----BEGIN {label}-----` and `-----END {label}-----`")
    if other := next((block[1] for block in blocks if block[1] != label), None):
        raise NotPem(f"it is of the kind {other}")
    return lines
