"""Reading YAML: what values mean, their positions, and what is refused before anything is built from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sitefile.yaml_source import MAX_BYTES, Source, from_bytes, from_text, read
from sitefile.yaml_tree import MappingNode, find, plain

FILE = Path("plant.yaml")


def parse(text: str) -> Source:
    return from_text(text, FILE)


def value_of(text: str) -> Any:
    tree = parse(f"key: {text}\n").tree
    assert tree is not None
    return plain(tree)["key"]


def only_problem(source: Source) -> tuple[str, int, int]:
    assert len(source.problems) == 1, source.problems
    problem = source.problems[0]
    assert problem.what
    assert problem.expected
    assert problem.remedy
    return problem.code, problem.line, problem.column


@pytest.mark.parametrize(
    "word", ["no", "NO", "yes", "on", "off", "y", "n", "02:00", "20:30", "2026-11-24", "0755", "-.inf", ".nan"]
)
def test_words_that_other_parsers_reinterpret_stay_text(word: str) -> None:
    assert value_of(word) == word


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("9" * 5000, "9" * 5000),
        ("v1.36.3+k3s1", "v1.36.3+k3s1"),
        ("10.20.0.11", "10.20.0.11"),
    ],
)
def test_plain_values_follow_the_yaml_core_schema(text: str, value: Any) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_every_key_and_value_has_its_position() -> None:
    tree = parse("site: x\nhosts:\n  - {name: ä, port: 22}\n  - name: b\n").tree
    assert tree is not None
    assert tree.keys["hosts"][1:] == (2, 1)
    first = find(tree, ("hosts", 0))
    assert isinstance(first, MappingNode)
    assert first.position[1:] == (3, 5)
    assert first.keys["port"][1:] == (3, 15)
    port = find(tree, ("hosts", 0, "port"))
    assert port is not None
    assert port.position[1:] == (3, 21)
    assert find(tree, ("hosts", 2)) is None


def test_windows_line_ends_do_not_change_positions() -> None:
    tree = parse("site: x\r\ntier: near\r\n").tree
    assert tree is not None
    assert plain(tree) == {"site": "x", "tier": "near"}
    assert tree.keys["tier"][1:] == (2, 1)


def test_plain_aliases_repeat_their_anchor() -> None:
    tree = parse("a: &x {k: 1}\nb: *x\nc: [*x, *x]\n").tree
    assert tree is not None
    assert plain(tree) == {"a": {"k": 1}, "b": {"k": 1}, "c": [{"k": 1}, {"k": 1}]}


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("", "empty", 1, 1),
        ("# nothing\n", "empty", 1, 1),
        ("---\n", "empty", 1, 1),
        ("- a\n", "not-a-mapping", 1, 1),
        ("site\n", "not-a-mapping", 1, 1),
        ("\ufeffsite: x\n", "bom", 1, 1),
        ("site: x\n\ttier: near\n", "tab", 2, 1),
        ("hosts:\n  - a\n \t- b\n", "tab", 3, 2),
        ("site: a\nsite: b\n", "duplicate-key", 2, 1),
        ("a: {b: 1, c: 2, b: 3}\n", "duplicate-key", 1, 17),
        ("site: a\n---\nsite: b\n", "many-documents", 2, 1),
        ("a: !!python/object/apply:os.system [id]\n", "tag", 1, 4),
        ("a: !secret x\n", "tag", 1, 4),
        ("1: a\n", "key-not-text", 1, 1),
        ("true: a\n", "key-not-text", 1, 1),
        ("? [a]\n: b\n", "key-not-text", 1, 3),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "merge-key", 3, 3),
        ("a: *nowhere\n", "unknown-alias", 1, 4),
        ("a: &x [*x]\n", "alias-loop", 1, 8),
        ("a: b: c\n", "syntax", 1, 5),
        ("a: [1, 2\nb: 3\n", "syntax", 2, 2),
        ("a: 'open\n", "syntax", 1, 9),
        ("a: @b\n", "syntax", 1, 4),
        ("a: x\u2028\n", "control-character", 1, 5),
        ("a: \x07\n", "control-character", 1, 4),
    ],
)
def test_what_a_file_may_not_contain_is_refused_at_its_position(text: str, code: str, line: int, column: int) -> None:
    assert only_problem(parse(text)) == (code, line, column)


def test_a_duplicate_key_names_the_position_of_the_first() -> None:
    assert "line 1, column 1" in parse("site: a\nsite: b\n").problems[0].what


def test_every_tab_and_every_duplicate_is_reported_at_once() -> None:
    assert [p.line for p in parse("a:\n\tb: 1\n\tc: 2\n").problems] == [2, 3]
    assert [p.line for p in parse("a: 1\na: 2\na: 3\n").problems] == [2, 3]


def test_a_syntax_error_does_not_hide_what_was_refused_before_it() -> None:
    assert [p.code for p in parse("a: 1\na: 2\nb: c: d\n").problems] == ["duplicate-key", "syntax"]


def test_aliases_that_expand_to_too_much_are_refused_before_they_are_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    code, line, _ = only_problem(parse("\n".join(lines)))
    assert code == "alias-explodes"
    assert line == 5, "the fifth level is the first above the bound"


def test_nested_aliases_are_limited_in_depth() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60)]
    assert only_problem(parse("\n".join(lines)))[0] == "alias-explodes"


@pytest.mark.parametrize("bracket", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_without_exhausting_the_stack(bracket: str) -> None:
    assert only_problem(parse("a:\n" + bracket * 50_000))[0] in ("too-deep", "syntax")


def test_bytes_that_are_not_utf8_are_refused_at_the_byte() -> None:
    assert only_problem(from_bytes(b"site: x\nname: \xff\n", FILE)) == ("not-utf8", 2, 7)
    assert only_problem(from_bytes("site: x\n".encode("utf-16"), FILE)) == ("bom", 1, 1)


def test_a_large_file_is_refused_unread() -> None:
    assert only_problem(from_bytes(b"#" * (MAX_BYTES + 1), FILE)) == ("too-large", 1, 1)


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_not(tmp_path: Path) -> None:
    sites = tmp_path / "sites"
    sites.mkdir()
    (tmp_path / "secret.yaml").write_text("site: x\n")
    (sites / "x.yaml").write_text("site: x\n")
    (sites / "out.yaml").symlink_to(tmp_path / "secret.yaml")
    (sites / "in.yaml").symlink_to(sites / "x.yaml")
    (sites / "loop.yaml").symlink_to(sites / "loop.yaml")
    out = read(sites / "out.yaml", within=sites)
    assert only_problem(out)[0] == "symlink"
    assert out.tree is None
    assert read(sites / "in.yaml", within=sites).problems == []
    assert only_problem(read(sites / "loop.yaml", within=sites))[0] == "unreadable"


def test_a_missing_file_and_a_folder_are_problems_not_tracebacks(tmp_path: Path) -> None:
    assert only_problem(read(tmp_path / "none.yaml"))[0] == "no-file"
    assert only_problem(read(tmp_path))[0] == "unreadable"
