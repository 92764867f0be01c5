"""Public keys and known_hosts lines are read as OpenSSH reads them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import asyncssh
import pytest

from components import ssh_keys
from components.ssh_keys import NotAKey, known_host, parse

ED25519 = "AAAAC3NzaC1lZDI1NTE5AAAAIGUTsFj0fJGFCAezKpTemY70PPWDB7wgVmGWEEv02tz9"


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"])
def test_a_key_that_openssh_makes_is_one(kind: str) -> None:
    line = asyncssh.generate_private_key(kind, comment="root@host").export_public_key().decode()
    assert str(parse(line)) == " ".join(line.split()[:2])
    assert parse(line).comment == "root@host"


@pytest.mark.parametrize("length", range(1, len(ED25519)))
def test_a_key_that_is_cut_anywhere_is_none(length: int) -> None:
    with pytest.raises(NotAKey):
        parse(f"ssh-ed25519 {ED25519[:length]}")


def _blob(*fields: bytes) -> str:
    return base64.b64encode(b"".join(len(field).to_bytes(4, "big") + field for field in fields)).decode()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"ssh-ed25519 {_blob(b'ssh-ed25519', bytes(31))}", "31 bytes"),
        (f"ssh-ed25519 {_blob(b'ssh-ed25519', bytes(32), b'x')}", "3 parts"),
        (f"ssh-rsa {_blob(b'ssh-rsa', b'3', bytes([1]) * 128)}", "fewer than 2048 bits"),
        (f"ecdsa-sha2-nistp256 {_blob(b'ecdsa-sha2-nistp256', b'nistp384', b'x')}", "its curve is another one"),
        (f"ssh-dss {ED25519}", "no type of key"),
        ("ssh-ed25519", "no key"),
        ("ssh-ed25519 AAAA...", "an example"),
        ("ssh-ed25519 ====", "not base64"),
    ],
)
def test_what_is_no_key_is_named(line: str, said: str) -> None:
    with pytest.raises(NotAKey, match=said):
        parse(line)


def test_a_hashed_name_is_compared_and_not_believed() -> None:
    salt = bytes(range(20))
    digest = hmac.new(salt, b"[git.example.com]:2222", hashlib.sha1).digest()
    names = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    line = known_host(f"{names} ssh-ed25519 {ED25519}")
    assert line.is_of("git.example.com", 2222)
    assert not line.is_of("git.example.com", 22)
    assert not line.is_of("other.example.com", 2222)


@pytest.mark.parametrize(
    ("names", "host", "port", "is_of"),
    [
        ("git.example.com,10.0.0.1", "10.0.0.1", 22, True),
        ("git.example.com", "GIT.example.com", 22, True),
        ("*.example.com", "git.example.com", 22, True),
        ("*.example.com,!git.example.com", "git.example.com", 22, False),
        ("[git.example.com]:2222", "git.example.com", 2222, True),
        ("git.example.com", "git.example.com", 2222, False),
    ],
)
def test_names_match_as_in_openssh(names: str, host: str, port: int, is_of: bool) -> None:
    assert known_host(f"{names} ssh-ed25519 {ED25519}").is_of(host, port) is is_of


@pytest.mark.parametrize("line", [f"ssh-ed25519 {ED25519}", f"|1|abc|def= ssh-ed25519 {ED25519}", f"@all x {ED25519}"])
def test_a_line_without_its_parts_is_none(line: str) -> None:
    with pytest.raises(NotAKey):
        known_host(line)


def test_the_types_are_those_that_asyncssh_knows() -> None:
    assert {kind.encode() for kind in ssh_keys.TYPES} <= set(asyncssh.public_key.get_public_key_algs()) | {b"ssh-rsa"}
