"""What differs in a resource, in a terminal: one line for a short value, a line diff for scripts, files and objects.

A script is shown as it was written, not as it is quoted for SSH; an object or a list as YAML. No value is cut.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from components.shell import script_of
from edge.run.difference import ABSENT, SECRET, PropertyChange
from edge.run.yaml_text import as_yaml
from edge.show.lines import visible

_SIGNS = {"add": ("+", "green"), "delete": ("-", "red"), "update": ("~", "yellow")}
_INDENT = " " * 8
_ONE_LINE = 60
"""Up to this many characters, both values stand beside each other in a line of 80."""
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def properties(out: Console, changes: Iterable[PropertyChange]) -> None:
    """Each property that differs, old and new."""
    for change in changes:
        _property(out, change)


def _property(out: Console, change: PropertyChange) -> None:
    sign, style = _SIGNS.get(change.kind.removesuffix("-replace"), _SIGNS["update"])
    head = Text.assemble(f"{_INDENT}{sign} {visible(change.path)}", style=style)
    beside = _beside(change)
    if beside is not None:
        out.print(Text.assemble(head, f"  {beside}" if beside else ""))
        return
    out.print(head)
    for line in line_diff(lines_of(change.before), lines_of(change.after)):
        out.print(Text(f"{_INDENT}  {line}", style=_STYLES.get(line[:1], "")))


def _beside(change: PropertyChange) -> str | None:
    """The values on one line; None where a line diff shows them better."""
    before, after = change.before, change.after
    if before == after == SECRET:
        return f"{SECRET}, changed"
    if before is ABSENT and after is ABSENT:
        return ""
    shown = [_short(value) for value in (before, after) if value is not ABSENT]
    if any(value is None for value in shown):
        return None
    text = " => ".join(value or "" for value in shown)
    return text if len(text) <= _ONE_LINE else None


def _short(value: Any) -> str | None:
    """A value that fits on a line with another one; None for one that does not."""
    if isinstance(value, str | list | dict) and not value:
        return json.dumps(value)
    lines = lines_of(value)
    return lines[0] if len(lines) == 1 and not isinstance(value, dict | list) else None


def lines_of(value: Any) -> list[str]:
    """A value as lines of text."""
    if value is ABSENT:
        return []
    if not isinstance(value, str):
        return [visible(line) for line in as_yaml(value).splitlines()]
    command = script_of(value)
    text = value if command is None else "\n".join(command)
    return [visible(line) for line in text.split("\n")]


def line_diff(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """The lines that differ, each with its sign, within three lines that do not; everything where one side is empty."""
    if not before or not after:
        yield from (f"- {line}".rstrip() for line in before)
        yield from (f"+ {line}".rstrip() for line in after)
        return
    # The first two lines of the format are file names.
    for line in list(difflib.unified_diff(before, after, lineterm=""))[2:]:
        yield line.rstrip() if line.startswith("@@") else f"{line[0]} {line[1:]}".rstrip()
