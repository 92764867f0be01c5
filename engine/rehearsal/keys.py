"""Public keys that parse and open nothing: DER of the right shape around digits from a hash.

A program may take a public key apart (Azure Arc wants the PKCS#1 key inside the PEM), so the shape has to be true; the
modulus is made up, has no known factors, and no private key belongs to it.
"""

from __future__ import annotations

import base64
import struct
from typing import Final

from engine.rehearsal.values import digest

PRIVATE_PLACEHOLDER: Final = (
    "-----BEGIN REHEARSAL PLACEHOLDER-----\n"
    "No private key was generated: this value was made up by a rehearsal.\n"
    "{mark}\n"
    "-----END REHEARSAL PLACEHOLDER-----\n"
)
_RSA_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")
_P256_ALGORITHM = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
_ED25519_ALGORITHM = bytes.fromhex("300506032b6570")
_EXPONENT = 65537


def octets(seed: str, length: int) -> bytes:
    """``length`` octets that depend on ``seed`` only."""
    blocks = (bytes.fromhex(digest("octets", seed, str(index))) for index in range(-(-length // 32)))
    return b"".join(blocks)[:length]


def public_key(seed: str, algorithm: str, bits: int = 2048) -> tuple[str, str]:
    """A SubjectPublicKeyInfo in PEM (RFC 5280) and the same key in OpenSSH's format (empty where it has none)."""
    if algorithm == "ED25519":
        point = octets(seed, 32)
        return _pem(_ED25519_ALGORITHM, point), _openssh(b"ssh-ed25519", point)
    if algorithm == "ECDSA":
        point = b"\x04" + octets(seed, 64)
        return _pem(_P256_ALGORITHM, point), _openssh(b"ecdsa-sha2-nistp256", b"nistp256", point)
    modulus = bytearray(octets(seed, bits // 8))
    # The highest bit makes the size true, and an odd number could be a product of primes.
    modulus[0] |= 0x80
    modulus[-1] |= 0x01
    exponent = _EXPONENT.to_bytes(3, "big")
    key = _element(0x30, _integer(bytes(modulus)) + _integer(exponent))
    return _pem(_RSA_ALGORITHM, key), _openssh(b"ssh-rsa", exponent, b"\x00" + bytes(modulus))


def private_placeholder(seed: str) -> str:
    """What stands where a private key would be. It says so, and no parser takes it for one."""
    return PRIVATE_PLACEHOLDER.format(mark=digest("private", seed))


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    encoded = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(encoded)]) + encoded


def _element(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + _length(len(content)) + content


def _integer(magnitude: bytes) -> bytes:
    padded = b"\x00" + magnitude if magnitude[0] & 0x80 else magnitude
    return _element(0x02, padded)


def _pem(algorithm: bytes, key: bytes) -> str:
    der = _element(0x30, algorithm + _element(0x03, b"\x00" + key))
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def _openssh(name: bytes, *parts: bytes) -> str:
    blob = b"".join(struct.pack(">I", len(part)) + part for part in (name, *parts))
    return f"{name.decode()} {base64.b64encode(blob).decode()}\n"
