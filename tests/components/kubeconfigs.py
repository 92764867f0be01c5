"""Kubeconfigs as K3s writes them, with a client certificate of any life."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@cache
def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    return _certificate("k3s-client-ca", key, _admin("k3s-client-ca"), key, now, now + timedelta(days=3650)), key


def _admin(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: Any,
    begins: datetime,
    ends: datetime,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_admin(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(signer, hashes.SHA256())
    )


def kubeconfig(begins: datetime, ends: datetime, *, server: str = "https://127.0.0.1:6443", ca: bytes = b"CA") -> str:
    """The administrator's, signed by an authority of the tests."""
    return signed_by(*_authority(), begins, ends, server=server, ca=ca)


def signed_by(
    authority: x509.Certificate,
    signer: Any,
    begins: datetime,
    ends: datetime,
    *,
    server: str = "https://127.0.0.1:6443",
    ca: bytes = b"CA",
) -> str:
    """The administrator's; its certificate is followed by the one of its authority, as K3s does it."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = _certificate("system:admin", key, authority.subject, signer, begins, ends)
    pem = own.public_bytes(Encoding.PEM) + authority.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    data = {name: base64.b64encode(content).decode() for name, content in (("c", pem), ("k", private), ("a", ca))}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "clusters": [{"cluster": {"certificate-authority-data": data["a"], "server": server}, "name": "default"}],
            "contexts": [{"context": {"cluster": "default", "user": "default"}, "name": "default"}],
            "current-context": "default",
            "kind": "Config",
            "users": [
                {
                    "name": "default",
                    "user": {"client-certificate-data": data["c"], "client-key-data": data["k"]},
                }
            ],
        },
        width=10**6,
    )
