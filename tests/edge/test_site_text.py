"""A generated site file reads as if a person had written it, and holds exactly the values that it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.run.site_text import SCHEMA, site_text
from sitefile.yaml_source import from_text, read
from sitefile.yaml_tree import plain
from stacks.loader import site_files

FILE = Path("x.yaml")


def values_of(text: str) -> Any:
    source = from_text(text, FILE)
    assert source.problems == []
    assert source.tree is not None
    return plain(source.tree)


@pytest.mark.parametrize("file", site_files(), ids=lambda file: file.stem)
def test_each_example_site_survives(file: Path) -> None:
    tree = read(file).tree
    assert tree is not None
    text = site_text(plain(tree))
    assert values_of(text) == plain(tree)
    assert text.startswith(SCHEMA)


# What no site file may hold, such as spaces that are none, is refused when it is read.
_TEXT = st.text(st.sampled_from([*map(chr, range(32, 127)), *"éßжΩ日本€"]), max_size=20)
_LINES = st.lists(_TEXT, min_size=2, max_size=4).map("\n".join)
_WORDS = st.sampled_from("no on 20:30 02:00 0o14 1e3 1_0 ~ null 0x1f 012 = # - ? & * ! | > % @".split())
_SCALARS = st.one_of(_TEXT, _LINES, _WORDS, st.integers(-(10**9), 10**9), st.booleans(), st.none())
_KEYS = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=4))
def test_any_values_survive(content: dict[str, Any]) -> None:
    assert values_of(site_text(content)) == content


def test_a_host_is_one_line_and_a_key_of_many_lines_is_a_block() -> None:
    text = site_text({"hosts": [{"name": "a", "address": "10.0.0.1"}], "key": "one\ntwo\n", "k3s": {}})
    assert text.removeprefix(SCHEMA) == ("hosts:\n  - {name: a, address: 10.0.0.1}\nkey: |\n  one\n  two\nk3s: {}\n")
