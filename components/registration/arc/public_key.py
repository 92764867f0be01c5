"""The public key in the form in which Azure Arc wants it. Pure.

The tls provider hands out a SubjectPublicKeyInfo (RFC 5280) in PEM; Arc wants the PKCS#1 RSAPublicKey inside it
(RFC 8017), as bare base64. Only RSA, only DER: anything else is refused rather than guessed at.
"""

from __future__ import annotations

import base64
import binascii

_SEQUENCE, _INTEGER, _BIT_STRING = 0x30, 0x02, 0x03
_RSA_ALGORITHM = bytes.fromhex("06092a864886f70d0101010500")
"""AlgorithmIdentifier's content: OID 1.2.840.113549.1.1.1 (rsaEncryption), NULL parameters."""

_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


def agent_public_key(public_key_pem: str) -> str:
    """``agentPublicKeyCertificate`` for an RSA public key in PEM. Raises ValueError for anything else."""
    lines = public_key_pem.strip().splitlines()
    if len(lines) < 3 or lines[0].strip() != _BEGIN or lines[-1].strip() != _END:
        raise ValueError("expected one PEM block 'PUBLIC KEY'")
    try:
        der = base64.b64decode("".join(line.strip() for line in lines[1:-1]), validate=True)
    except binascii.Error as error:
        raise ValueError("expected base64 between the PEM lines") from error
    return base64.b64encode(_rsa_public_key(der)).decode()


def _rsa_public_key(der: bytes) -> bytes:
    info = _only(der, _SEQUENCE)
    algorithm, rest = _next(info, _SEQUENCE)
    if algorithm != _RSA_ALGORITHM:
        raise ValueError("expected an RSA key")
    bits = _only(rest, _BIT_STRING)
    if not bits or bits[0] != 0:
        raise ValueError("expected a BIT STRING of whole octets")
    key = bits[1:]
    modulus, rest = _next(_only(key, _SEQUENCE), _INTEGER)
    exponent = _only(rest, _INTEGER)
    if not _positive(modulus) or not _positive(exponent):
        raise ValueError("expected a positive modulus and exponent")
    return key


def _positive(integer: bytes) -> bool:
    """Whether DER content is a positive INTEGER in its shortest form."""
    if not integer or integer[0] & 0x80 or integer == b"\x00":
        return False
    return not (integer[0] == 0 and integer[1] & 0x80 == 0)


def _only(data: bytes, tag: int) -> bytes:
    """Content of the one element that ``data`` consists of."""
    content, rest = _next(data, tag)
    if rest:
        raise ValueError("unexpected data after the key")
    return content


def _next(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Content of the first element of ``data``, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError("not the DER of an RSA public key")
    length, start = data[1], 2
    if length & 0x80:
        octets = length & 0x7F
        start += octets
        length = int.from_bytes(data[2:start], "big")
        # DER: definite, and no longer than it must be.
        if octets == 0 or len(data) < start or data[2] == 0 or length < 0x80:
            raise ValueError("not the DER of an RSA public key")
    end = start + length
    if len(data) < end:
        raise ValueError("the key is cut off")
    return data[start:end], data[end:]
