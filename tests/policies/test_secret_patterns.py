"""One list of secret patterns: what a site file may not hold, no resource may hold either, and the other way round."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from policies.rules import Resource, evaluate
from policies.rules.patterns import credential_in
from sitefile.plain_secrets import general_advice, scan
from sitefile.secret_patterns import SECRET_KEYS, SECRET_NAME, SECRET_PATTERNS
from sitefile.yaml_source import from_text

KINDS = ("", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED ")
# In two pieces, so that no scanner takes them for real.
EXAMPLES = {
    "PRIVATE KEY": [
        *(f"-----BEGIN {kind}" + "PRIVATE KEY-----" for kind in KINDS),
        "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----",
    ],
    "LS0tLS1CRUdJTi": [
        base64.b64encode(f"-----BEGIN {kind}PRIVATE KEY-----\nMIIE".encode()).decode() for kind in KINDS
    ],
    "tskey-": ["tskey-" + "auth-kExample", "tskey-" + "client-k-Example"],
    "AGE-SECRET-KEY-": ["AGE-SECRET-KEY-" + "1EXAMPLE", "AGE-SECRET-KEY-" + "1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"],
    "K10": ["K10" + "abcdef::server:example", "K10" + "0123456789abcdef0123456789::node:aB3dE5"],
    "glc_": ["glc_" + "exampleexample", "glc_" + "eyJvIjoiMTIzNDU2IiwibiI6ImVkZ2UiLCJrIjoiYWJj"],
    "glsa_": ["glsa_" + "exampleexample", "glsa_" + "0123456789abcdefghijABCDEFGHIJ01_0123abcd"],
    "gh": ["ghp_" + "exampleexample", "x_ghs_" + "0123456789abcdefghijABCDEFGHIJ012345"],
    "github_pat_": ["github_pat_" + "11ABCDEFG", "github_pat_" + "11ABCDEFG0123456789abcdefghijklmnop"],
    "glpat-": ["glpat-" + "example-example", "glpat-" + "0123456789abcdefghij"],
    "AKIA": ["AKIA" + "EXAMPLEEXAMPLE", "AKIA" + "IOSFODNN7EXAMPLE"],
    "ASIA": ["ASIA" + "EXAMPLEEXAMPLE", "ASIA" + "IOSFODNN7EXAMPLE"],
    "AccountKey=": ["AccountKey=" + "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOP=="],
    "SharedAccessKey=": ["SharedAccessKey=" + "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOP=="],
    "sig=": ["https://x.blob.core.windows.net/c?sv=2024-11-04&sig=" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345%2Bk%3D"],
    "k_live_": ["sk_live_" + "51ExampleExample", "rk_live_" + "51ExampleExample"],
    "npm_": ["npm_" + "0123456789abcdefghijABCDEFGHIJ012345"],
    "pypi-": ["pypi-" + "AgEIcHlwaS5vcmcCJGV4YW1wbGVleGFtcGxl"],
    "nvapi-": ["nvapi-" + "0123456789abcdefghij-ABCDEFGHIJ"],
    "hf_": ["hf_" + "abcdefghijABCDEFGHIJ0123456789abcd"],
    "dckr_pat_": ["dckr_pat_" + "0123456789abcdefghij"],
    "AIza": ["AIza" + "SyExampleExampleExampleExample012345"],
    "pul-": ["pul-" + "0123456789abcdef0123456789abcdef01234567"],
    "xox": ["xoxb-" + "123456789012-example"],
    "hvs.": ["hvs." + "CAESIExampleExampleExample"],
    "eyJ": ["eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiJlZGdlIn0.c2ln", "eyJ" + "hbGciOiJI.eyJzdWIiOiJl.c2lnbmF0dXJlMTIz"],
    "://": ["postgres://edge:" + "s3cr3tpw@db.example.com:5432/k3s", "https://user:" + "word@git.example.com/edge.git"],
}
TEXTS = [(marker, text) for marker, texts in EXAMPLES.items() for text in texts]


def test_every_pattern_has_examples() -> None:
    assert sorted(EXAMPLES) == sorted(pattern.marker for pattern in SECRET_PATTERNS)
    assert all(EXAMPLES.values())


@pytest.mark.parametrize(("marker", "text"), TEXTS)
def test_a_site_file_may_not_hold_it(marker: str, text: str) -> None:
    found = scan(from_text(f"site: x  # {text}\n", Path("x.yaml")), None, (), general_advice, "x")
    assert [problem.code for problem in found.problems] == ["plain-secret"]
    assert text not in str(found.problems)


@pytest.mark.parametrize(("marker", "text"), TEXTS)
def test_no_resource_may_hold_it(marker: str, text: str) -> None:
    config_map = Resource(
        "kubernetes:core/v1:ConfigMap", "x", "urn:x", {"data": {"settings": f"first\n  {text}\nlast"}}
    )
    (found,) = evaluate(config_map)
    assert (found.rule, found.path) == ("secrets/no-secret-in-config-map", "data.settings")
    assert text not in str(found)


@pytest.mark.parametrize(("marker", "text"), TEXTS)
def test_both_sides_call_it_by_the_same_name(marker: str, text: str) -> None:
    pattern = next(pattern for pattern in SECRET_PATTERNS if pattern.marker == marker)
    (problem,) = scan(from_text(f"site: x  # {text}\n", Path("x.yaml")), None, (), general_advice, "x").problems
    assert f"({pattern.name})" in problem.what
    assert credential_in(text) == pattern.what


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("marker", "text"), TEXTS)
def test_base64_hides_nothing(marker: str, text: str, times: int) -> None:
    encoded = f"export X={text}\n"
    for _ in range(times):
        encoded = base64.b64encode(encoded.encode()).decode()
    assert credential_in(f"settings: {encoded}") is not None
    for line in (f"site: x  # {encoded}\n", f"site: {encoded}\n"):
        found = scan(from_text(line, Path("x.yaml")), None, (), general_advice, "x")
        assert [problem.code for problem in found.problems] == ["plain-secret"]
        assert encoded not in str(found.problems)


def test_base64_in_many_lines_hides_nothing() -> None:
    encoded = base64.b64encode(b"#" * 70 + b"\npassword: tskey-" + b"auth-kExample0123456789\n" + b"#" * 70).decode()
    folded = "\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76))
    assert credential_in(folded) is not None
    assert credential_in(base64.b64encode(b"a text about passwords and tokens, and no more than that").decode()) is None


@pytest.mark.parametrize("kind", ["CERTIFICATE", "PUBLIC KEY", "RSA PUBLIC KEY"])
def test_a_public_key_in_base64_is_no_secret(kind: str) -> None:
    text = base64.b64encode(f"-----BEGIN {kind}-----\nMIIE\n-----END {kind}-----".encode()).decode()
    assert credential_in(text) is None
    assert scan(from_text(f"site: x  # {text}\n", Path("x.yaml")), None, (), general_advice, "x").problems == []


def test_a_script_may_name_a_variable_where_a_password_stands_and_a_site_file_may_not() -> None:
    text = "postgres://edge:${PASSWORD}@db.example.com/k3s"
    assert credential_in(text) is None
    assert [
        p.code for p in scan(from_text(f"a: {text}\n", Path("x.yaml")), None, (), general_advice, "x").problems
    ] == ["plain-secret"]


@pytest.mark.parametrize("name", ["password", "PASSWD", "passphrase", "api_token", "credential", "client-secret"])
@pytest.mark.parametrize("line", ["{}: q8Zr2LpX0vT7mKs4", "{}: 'q8Zr2LpX0vT7mKs4'"])
def test_both_sides_take_the_same_names_for_those_of_secrets(name: str, line: str) -> None:
    assert credential_in(line.format(name)) is not None
    assert re.search(SECRET_NAME, name, re.IGNORECASE)


@pytest.mark.parametrize("owner", SECRET_KEYS)
@pytest.mark.parametrize("between", ["-", "_", ".", ""])
def test_a_key_that_opens_something_is_a_secret_by_its_name(owner: str, between: str) -> None:
    assert credential_in(f"{owner}{between}key: q8Zr2LpX0vT7mKs4") is not None
    assert re.search(SECRET_NAME, f"{owner}{between}key")
    assert credential_in("sort_key: q8Zr2LpX0vT7mKs4") is None


def test_patterns_have_no_groups_so_that_they_can_be_joined() -> None:
    assert {p.expression.groups for p in SECRET_PATTERNS} == {0}
