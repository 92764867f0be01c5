"""URLs of a site file: what is accepted parses, and holds nothing that a shell would read."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from components.types import HttpsUrl
from components.urls import Url, parse
from tests.components.test_types import accepts


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://a.example.com", Url("https", None, "a.example.com", 443, "")),
        ("https://a:8443/b/c%20d/~e", Url("https", None, "a", 8443, "/b/c%20d/~e")),
        ("https://[fd00::1]:8443/", Url("https", None, "fd00::1", 8443, "/")),
        ("ssh://git@git.example.com/x.git", Url("ssh", "git", "git.example.com", 22, "/x.git")),
        ("http://10.0.0.1:3128", Url("http", None, "10.0.0.1", 3128, "")),
    ],
)
def test_a_url_is_taken_apart(text: str, url: Url) -> None:
    assert parse(text) == url


@pytest.mark.parametrize(
    "text",
    [
        *("https://[::1", "https://::1]/", "https://[]/", "https://[10.0.0.1]/", "https://[fe80::1%25eth0]/"),
        *(
            "https://a:abc",
            "https://:abc",
            "https://a:99999",
            "https://a:0",
            "https://a:",
            "https://a:٣",
            "https://a:+1",
        ),
        *(
            "https://",
            "https:///x",
            "https://10.0.0.256",
            "https://10.0.0",
            "https://a..b",
            "https://-a",
            "https://é.de",
        ),
        *(
            "https://u@a",
            "https://u:p@a/",
            "https://a/?x=y",
            "https://a/#x",
            "https://a\\b",
            "http://a",
            "a.example.com",
        ),
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    assert not accepts(HttpsUrl, text)


@pytest.mark.parametrize(
    "char", [chr(number) for number in range(128) if not re.match(r"[\w.~%:@!+,=/\[\]-]", chr(number))]
)
def test_no_character_of_a_shell_and_no_control_character_is_in_a_url(char: str) -> None:
    for text in (f"https://hs.example{char}x/", f"https://hs.example/{char}x", f"https://hs.example/x{char}"):
        with pytest.raises(ValidationError, match="cannot be in a URL"):
            TypeAdapter(HttpsUrl).validate_python(text)


@settings(deadline=None)
@given(rest=st.text("aZ0-.:/[]@%~ $\n", max_size=30))
def test_what_is_accepted_is_what_python_reads_too_and_an_editor_accepts_it(rest: str) -> None:
    text = f"https://{rest}"
    if accepts(HttpsUrl, text):
        url, read = parse(text), urlsplit(text)
        assert (url.host.lower(), url.port) == (read.hostname, read.port or 443)
        pattern = TypeAdapter(HttpsUrl).json_schema()["pattern"]
        assert re.search(pattern.removesuffix("$") + r"\Z", text)


def test_a_host_is_read_in_lower_case_since_names_have_no_case() -> None:
    assert parse("ssh://git@Git.Example.COM/Edge.git").host == "git.example.com"
    assert parse("ssh://git@Git.Example.COM/Edge.git").path == "/Edge.git"
