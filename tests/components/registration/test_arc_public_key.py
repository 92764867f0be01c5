"""The key as Azure Arc wants it, held against OpenSSL."""

from __future__ import annotations

import base64
import subprocess

import pytest

from components.registration.arc.public_key import agent_public_key


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=True).stdout


def _public_pem(kind: str, option: str) -> str:
    private = _openssl("genpkey", "-algorithm", kind, "-pkeyopt", option)
    return _openssl("pkey", "-pubout", given=private).decode()


@pytest.fixture(scope="module")
def pem() -> str:
    return _public_pem("RSA", "rsa_keygen_bits:2048")


@pytest.mark.parametrize("bits", [1024, 1032, 2048, 3072])
def test_it_is_the_pkcs1_der_that_openssl_writes(bits: int) -> None:
    pem = _public_pem("RSA", f"rsa_keygen_bits:{bits}")
    expected = _openssl("rsa", "-pubin", "-RSAPublicKey_out", "-outform", "DER", given=pem.encode())
    assert base64.b64decode(agent_public_key(pem)) == expected


def test_it_is_one_line_without_pem(pem: str) -> None:
    result = agent_public_key(pem)
    assert result.isascii()
    assert base64.b64encode(base64.b64decode(result, validate=True)).decode() == result
    assert agent_public_key(pem.replace("\n", "\r\n")) == result


@pytest.mark.parametrize(("kind", "option"), [("EC", "ec_paramgen_curve:P-256"), ("RSA-PSS", "rsa_keygen_bits:1024")])
def test_another_kind_of_key_is_refused(kind: str, option: str) -> None:
    with pytest.raises(ValueError, match="RSA"):
        agent_public_key(_public_pem(kind, option))


def test_a_private_key_is_refused_and_not_repeated() -> None:
    private = _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024").decode()
    with pytest.raises(ValueError, match="PUBLIC KEY") as refused:
        agent_public_key(private)
    assert private[40:80] not in str(refused.value)


def test_every_cut_and_every_addition_is_refused(pem: str) -> None:
    body = base64.b64decode("".join(pem.splitlines()[1:-1]))
    for der in [body[:length] for length in range(len(body))] + [body + b"\x00"]:
        text = f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode() or '='}\n-----END PUBLIC KEY-----\n"
        with pytest.raises(ValueError, match=r"expected|DER|cut off|unexpected"):
            agent_public_key(text)


ALGORITHM = "300d06092a864886f70d0101010500"
SOUND = f"301c{ALGORITHM}030b0030080203008001020103"
"""The smallest key: modulus 0x8001, exponent 3."""


def _pem(der: str) -> str:
    text = base64.b64encode(bytes.fromhex(der)).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----"


def test_a_sound_key_is_taken_as_it_is() -> None:
    assert base64.b64decode(agent_public_key(_pem(SOUND))).hex() == "30080203008001020103"


@pytest.mark.parametrize(
    "der",
    [
        f"301b{ALGORITHM}030a00300702028001020103",
        f"301b{ALGORITHM}030a00300702020001020103",
        f"301a{ALGORITHM}03090030060203008001",
        f"301d{ALGORITHM}030c003009020300800102020003",
        f"301c{ALGORITHM}030b0130080203008001020103",
        f"30811c{ALGORITHM}030b0030080203008001020103",
        f"3080{ALGORITHM}030b00300802030080010201030000",
    ],
    ids=[
        "negative modulus",
        "modulus with a needless zero",
        "no exponent",
        "exponent with a needless zero",
        "bits left over",
        "length in a longer form than it needs",
        "indefinite length",
    ],
)
def test_what_is_not_strict_der_of_a_positive_key_is_refused(der: str) -> None:
    with pytest.raises(ValueError, match=r"expected|DER|cut off|unexpected"):
        agent_public_key(_pem(der))
