"""Whether a text is one armored OpenPGP public key (RFC 9580, section 6.2). Pure; trusts and verifies nothing.

Flux and gpg skip what they cannot read: with a damaged key no commit is verified, and a site stands still.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

BEGIN, END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
_HEADER = re.compile(r"[A-Za-z][A-Za-z-]*: .*")
_PUBLIC_KEY, _SECRET_KEYS, _USER_ID, _SIGNATURE = 6, (5, 7), 13, 2


class NotAKey(ValueError):
    """Why a text is no public key, as the end of a sentence."""


def check(text: str) -> None:
    """Raises ``NotAKey`` where ``text`` is not one whole public key."""
    lines = [line.rstrip() for line in text.strip().split("\n")]
    if lines[0] != BEGIN and lines[0].startswith(BEGIN):
        raise NotAKey("its lines have been joined: with `|` after the colon the line ends stay, with `>` they do not")
    if lines[0] != BEGIN or lines[-1] != END:
        raise NotAKey(f"it does not begin with `{BEGIN}` and end with `{END}`")
    if BEGIN in lines[1:]:
        raise NotAKey("it holds more than one key block")
    data = _unarmored(lines[1:-1])
    tags = [tag for tag, _ in _packets(data)]
    if any(tag in _SECRET_KEYS for tag in tags):
        raise NotAKey("it holds a private key: revoke it, it has been written to a file")
    if not tags or tags[0] != _PUBLIC_KEY:
        raise NotAKey("its first packet is no public key")
    if _USER_ID not in tags or _SIGNATURE not in tags:
        raise NotAKey("it has no user id that is signed by the key, so that it is cut short")


def _unarmored(lines: list[str]) -> bytes:
    while lines and _HEADER.fullmatch(lines[0]):
        lines = lines[1:]
    if not lines or lines[0]:
        raise NotAKey("no empty line stands between its headers and the key")
    body = [line for line in lines[1:] if line]
    checksum = body.pop() if body and re.fullmatch(r"=[A-Za-z0-9+/]{4}", body[-1]) else None
    for number, line in enumerate(body, start=1):
        if re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", line) is None or ("=" in line and number < len(body)):
            raise NotAKey(f"line {number} of the key holds something else than base64")
    try:
        data = base64.b64decode("".join(body), validate=True)
    except binascii.Error:
        raise NotAKey("it is cut short") from None
    if checksum is not None and _crc24(data) != int.from_bytes(base64.b64decode(checksum[1:]), "big"):
        raise NotAKey("its checksum is wrong: some of it has been changed or left out")
    return data


def _crc24(data: bytes) -> int:
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc & 0xFFFFFF


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each packet."""
    at = 0
    while at < len(data):
        head = data[at]
        if not head & 0x80:
            raise NotAKey("its bytes are no OpenPGP packets")
        tag, at, end = _new_format(data, at) if head & 0x40 else _old_format(data, at)
        if end > len(data):
            raise NotAKey("it is cut short")
        yield tag, data[at:end]
        at = end


def _new_format(data: bytes, at: int) -> tuple[int, int, int]:
    tag, first = data[at] & 0x3F, _byte(data, at + 1)
    if first < 192:
        return tag, at + 2, at + 2 + first
    if first < 224:
        return tag, at + 3, at + 3 + ((first - 192) << 8) + _byte(data, at + 2) + 192
    if first == 255:
        return tag, at + 6, at + 6 + int.from_bytes(data[at + 2 : at + 6], "big")
    raise NotAKey("its bytes are no OpenPGP packets")


def _old_format(data: bytes, at: int) -> tuple[int, int, int]:
    tag, size = (data[at] >> 2) & 0x0F, (1, 2, 4, 0)[data[at] & 0x03]
    if not size:
        raise NotAKey("its bytes are no OpenPGP packets")
    start = at + 1 + size
    return tag, start, start + int.from_bytes(data[at + 1 : start], "big")


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise NotAKey("it is cut short")
    return data[at]
