"""Public SSH keys as they stand in files: `type base64 [comment]`, and the lines of `known_hosts`. Pure.

A key that is cut short or carries another key's type looks like a key, and no host ever matches it.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from dataclasses import dataclass

_ECDSA = {"ecdsa-sha2-nistp256": "nistp256", "ecdsa-sha2-nistp384": "nistp384", "ecdsa-sha2-nistp521": "nistp521"}
TYPES = ("ssh-ed25519", *_ECDSA, "sk-ssh-ed25519@openssh.com", "ssh-rsa")
_MINIMUM_RSA_BITS = 2048


class NotAKey(ValueError):
    """Why a text is no public key, as the end of a sentence: `the key ends after 20 of 51 bytes`."""


@dataclass(frozen=True)
class PublicKey:
    """A public key whose bytes are one key of its type."""

    type: str
    text: str
    """Base64, as written."""
    comment: str = ""

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


def parse(line: str) -> PublicKey:
    """The key of one line. Raises ``NotAKey``."""
    kind, _, rest = line.strip().partition(" ")
    text, _, comment = rest.strip().partition(" ")
    if kind not in TYPES:
        raise NotAKey(f"{kind[:40]!r} is no type of key")
    if not text:
        raise NotAKey("it has a type and no key")
    if "..." in text or "…" in text:
        raise NotAKey("it is an example with dots in it, not a key")
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NotAKey("it is not base64, or is cut short") from None
    _check(kind, blob)
    return PublicKey(kind, text, comment.strip())


def _check(kind: str, blob: bytes) -> None:
    fields = _fields(blob)
    own = fields[0].decode("ascii", "replace")
    if own != kind:
        raise NotAKey(f"it says {kind}, and the key in it is of type {own[:40]}")
    count = {"ssh-ed25519": 2, "ssh-rsa": 3}.get(kind, 3)
    if len(fields) != count:
        raise NotAKey(f"it has {len(fields)} parts, a key of this type has {count}")
    if kind in ("ssh-ed25519", "sk-ssh-ed25519@openssh.com") and len(fields[1]) != 32:
        raise NotAKey(f"the key in it has {len(fields[1])} bytes, one of this type has 32")
    if kind == "ssh-rsa" and int.from_bytes(fields[2], "big").bit_length() < _MINIMUM_RSA_BITS:
        raise NotAKey(f"it has fewer than {_MINIMUM_RSA_BITS} bits")
    if kind in _ECDSA:
        _check_point(kind, blob, fields)


def _check_point(kind: str, blob: bytes, fields: list[bytes]) -> None:
    if fields[1].decode("ascii", "replace") != _ECDSA[kind]:
        raise NotAKey(f"it says {kind}, and its curve is another one")
    # Imported for keys on curves alone: it takes 0.1 s, and nearly all keys are of the type ssh-ed25519.
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        load_ssh_public_key(f"{kind} {base64.b64encode(blob).decode()}".encode())
    except ValueError:
        raise NotAKey("its bytes are no point of its curve") from None


def _fields(blob: bytes) -> list[bytes]:
    """The length-prefixed fields that a key consists of (RFC 4253, section 6.6)."""
    found, at = [], 0
    while at < len(blob):
        length = int.from_bytes(blob[at : at + 4], "big")
        at += 4
        if at + length > len(blob):
            raise NotAKey("it is cut short")
        found.append(blob[at : at + length])
        at += length
    if not found:
        raise NotAKey("it is empty")
    return found


@dataclass(frozen=True)
class KnownHost:
    """One line of `known_hosts`."""

    names: str
    """Names with commas in between, or one hashed name."""
    key: PublicKey
    marker: str = ""
    """`@cert-authority` or `@revoked`."""

    def is_of(self, host: str, port: int) -> bool:
        """Whether the line is about a server."""
        name = host if port == 22 else f"[{host}]:{port}"
        if self.names.startswith("|1|"):
            return _hashed(self.names, name)
        patterns = [pattern.lower() for pattern in self.names.split(",")]
        if any(_matches(name, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
            return False
        return any(_matches(name, pattern) for pattern in patterns)


def known_host(line: str) -> KnownHost:
    """One line, which is no comment and not empty. Raises ``NotAKey``."""
    marker, rest = "", line.strip()
    if rest.startswith("@"):
        marker, _, rest = rest.partition(" ")
        if marker not in ("@cert-authority", "@revoked"):
            raise NotAKey(f"{marker[:40]!r} is no marker")
    names, _, key = rest.strip().partition(" ")
    if names in TYPES:
        raise NotAKey("the name of the server is missing before the type of the key")
    if names.startswith("|") and not re.fullmatch(r"\|1\|[A-Za-z0-9+/]{27}=\|[A-Za-z0-9+/]{27}=", names):
        raise NotAKey("its hashed name is not whole")
    return KnownHost(names, parse(key), marker)


def _matches(name: str, pattern: str) -> bool:
    # `[` begins a port here, not a set of characters.
    return fnmatch.fnmatchcase(name.lower(), pattern.replace("[", "[[]"))


def _hashed(written: str, name: str) -> bool:
    _, _, salt, digest = written.split("|")
    made = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
    return hmac.compare_digest(made, base64.b64decode(digest))
