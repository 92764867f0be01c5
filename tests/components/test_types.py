"""The words of a site file: what Kubernetes and SSH would refuse later is refused where it is written."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from components.types import DnsLabel, ImageRef, K3sVersion, LabelKey, LabelValue, SemVer, Sha256

_DIGEST = "@sha256:" + "0" * 64


def accepts(kind: Any, value: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (LabelValue, "strasse", "straße"),
        (LabelKey, "example.com/groesse", "example.com/größe"),
        (SemVer, "1.2.3", "1.٢.3"),
        (K3sVersion, "v1.36.3+k3s1", "v1.36.३+k3s1"),
        (Sha256, "0" * 64, "\u0660" * 64),
        (ImageRef, f"example.com/a:b-c{_DIGEST}", f"example.com/a:b-ç{_DIGEST}"),
        (DnsLabel, "edge-1", "edge-1\n"),
    ],
)
def test_only_ascii_and_nothing_after_the_end(kind: Any, good: str, bad: str) -> None:
    assert accepts(kind, good)
    assert not accepts(kind, bad)


@settings(deadline=None)
@given(value=st.text(alphabet="aZ0-._/é\n", max_size=70))
@pytest.mark.parametrize("kind", [LabelValue, LabelKey, SemVer])
def test_an_editor_underlines_what_the_loader_refuses(kind: Any, value: str) -> None:
    pattern = TypeAdapter(kind).json_schema()["pattern"]
    # JavaScript's `$` is the end of the text; Python's would let a line break follow.
    found = re.search(pattern.removesuffix("$") + r"\Z", value, re.ASCII) is not None
    assert found == accepts(kind, value)
