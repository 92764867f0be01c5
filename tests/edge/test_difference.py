"""How a difference looks: short values beside each other, everything else as a line diff."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from components.shell import as_root, script_of
from edge.run.difference import ABSENT, PropertyChange
from edge.show import difference


def shown(before: Any, after: Any, kind: str = "update") -> list[str]:
    out = Console(file=io.StringIO(), highlight=False, markup=False, soft_wrap=True)
    difference.properties(out, [PropertyChange("p", kind, before, after)])
    assert isinstance(out.file, io.StringIO)
    return [line.removeprefix(" " * 8) for line in out.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("1", "2", "~ p  1 => 2"),
        (80, True, "~ p  80 => true"),
        ("", "x", '~ p  "" => x'),
        ([], None, "~ p  [] => null"),
        ("x", "[unknown]", "~ p  x => [unknown]"),
        ("[secret]", "[secret]", "~ p  [secret], changed"),
        (ABSENT, ABSENT, "~ p"),
    ],
)
def test_short_values_stand_on_one_line(before: Any, after: Any, line: str) -> None:
    assert shown(before, after) == [line]


@pytest.mark.parametrize("user", ["root", "core"])
def test_a_script_is_a_line_diff_of_its_own_text(user: str) -> None:
    lines = [f"line {number} 'quoted'" for number in range(40)]
    old = as_root("\n".join(lines), user)
    new = as_root("\n".join([*lines[:30], "another line", *lines[31:]]), user)
    printed = shown(old, new)
    assert printed[0] == "~ p"
    assert "  - line 30 'quoted'" in printed
    assert "  + another line" in printed
    assert len(printed) < 12, "what does not change is left out"


def test_a_new_script_is_shown_whole_after_what_starts_it() -> None:
    assert shown(ABSENT, as_root("a\nb", "core"), "add") == ["+ p", "  + exec sudo -n bash -c", "  + a", "  + b"]


def test_an_object_is_a_line_diff_of_its_yaml_with_texts_in_it_line_by_line() -> None:
    old = {"metadata": {"name": "x"}, "data": {"config.yaml": "a: 1\nb: 2\n"}}
    new = {"metadata": {"name": "x"}, "data": {"config.yaml": "a: 1\nb: 3\n"}}
    printed = shown(old, new)
    assert "  -     b: 2" in printed
    assert "  +     b: 3" in printed


def test_two_long_values_stand_below_each_other() -> None:
    assert shown("a" * 70, "b" * 70) == ["~ p", "  @@ -1 +1 @@", f"  - {'a' * 70}", f"  + {'b' * 70}"]


def test_control_characters_are_written_out() -> None:
    assert shown("a", "\x1b[2Jb") == ["~ p  a => \\x1b[2Jb"]


@given(st.text(), st.sampled_from(["root", "core"]), st.sampled_from([None, "sudo-password", "sudo-password-press"]))
def test_any_script_is_found_again_in_the_command_that_runs_it(script: str, user: str, password: str | None) -> None:
    command = as_root(script, user, password=password)
    found = script_of(command)
    assert found is not None
    assert found[1] == script
    assert command.startswith(f"{found[0]} ")


@pytest.mark.parametrize("command", ["", "ls", "exec bash -c 'a' 'b'", "exec bash -c 'a", "exec sh -c 'a'"])
def test_another_command_is_no_script(command: str) -> None:
    assert script_of(command) is None
