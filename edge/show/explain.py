"""`edge explain` in a terminal: at most 80 columns wide, with long values whole on a line of their own."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from edge.run.explain import Choice, Value
from sitefile.fields import NO_DEFAULT, Field
from sitefile.layers import Layers
from sitefile.problems import Position, dotted, shown
from sitefile.yaml_tree import plain

WIDTH = 80


def explanation(
    out: Console, field: Field, layers: Layers, choices: Sequence[Choice] = (), title: str = "Site file"
) -> None:
    """One field: what it means, and what is below it. ``title`` is that of the whole file."""
    width = min(out.width, WIDTH) if out.is_terminal else WIDTH
    out.print(Text.assemble((field.path or title, "bold"), f"  <{_type(field)}>"))
    for line in _wrapped(field.description, width, "  "):
        out.print(Text(line))
    if field.about:
        out.print()
        for line in _wrapped(field.about, width, "  "):
            out.print(Text(line))
    facts = list(_facts(field, layers))
    if facts:
        out.print()
    for name, text in facts:
        for line in _wrapped(text, width, f"  {name:9} ", " " * 12):
            out.print(Text(line))
    if choices:
        out.print()
        out.print(Text("In this project", "bold"))
    for choice in choices:
        out.print(Text.assemble(f"  {choice.name}", (f"  # {choice.file}", "dim")))
        for line in _wrapped(choice.about, width, "      "):
            out.print(Text(line))
    _below(out, field.fields, width, "Fields")
    for kind in field.kinds:
        title = f"{field.by}: {kind.name}" if field.by else f"With {kind.name}"
        _below(out, [one for one in kind.fields if one.name != field.by], width, title, kind.description)


def values(out: Console, site: str, field: Field, found: Sequence[Value], root: Path) -> None:
    """The values that a site has, each with where it comes from."""
    out.print()
    out.print(Text(f"At {site}", "bold"))
    if not found:
        out.print(Text(f"  {site} has no {shown(field.path)}."))
    for value in found:
        text = f"  {dotted(value.path)}: {_first_line(value.value)}"
        origin = _origin(value.position)
        if len(text) + len(origin) + 4 <= WIDTH:
            out.print(Text.assemble(text, (f"  # {origin}", "dim")))
        else:
            out.print(Text(text))
            out.print(Text(f"      # {origin}", "dim"))
        for below, position in value.overridden:
            out.print(Text(f"      overrides {_first_line(below)}  # {_origin(position)}", "dim"))


def _first_line(value: Any) -> str:
    """A value as YAML has it; of text of many lines, such as a key, the first one."""
    lines = value.splitlines() if isinstance(value, str) else []
    return f"{lines[0]} ... ({len(lines)} lines)" if len(lines) > 1 else _value(value)


def _origin(at: Position | None) -> str:
    return f"{at.file.as_posix()}:{at.line}:{at.column}" if at else "default of the program"


def _type(field: Field) -> str:
    return field.type + (f", {field.unit}" if field.unit else "") + (", required" if field.required else "")


def _facts(field: Field, layers: Layers) -> Iterator[tuple[str, str]]:
    if field.allowed:
        yield "one of", ", ".join(field.allowed)
    if limits := _limits(field):
        yield "must be", limits
    filled = list(field.filled_in(layers))
    for where, node in filled:
        value = _value(plain(node)) if not isinstance(plain(node), dict | list) else "set"
        at = f"{node.position.file.as_posix()}:{node.position.line}"
        yield "default", f"{value} ({at}{f', for {where}' if where else ''})"
    if not filled and field.default is not NO_DEFAULT:
        yield "default", _value(field.default)
    if field.examples:
        yield "example", _value(field.examples[0])


def _limits(field: Field) -> str:
    pattern = f"text that matches {field.pattern}" if field.pattern and not field.allowed else ""
    return "; ".join(filter(None, (*field.limits, pattern)))


def _below(out: Console, fields: Iterable[Field], width: int, title: str, about: str = "") -> None:
    fields = list(fields)
    if not fields and not about:
        return
    out.print()
    out.print(Text(title, "bold"))
    for line in _wrapped(about, width, "  "):
        out.print(Text(line, "dim"))
    for field in fields:
        out.print(Text.assemble(f"  {field.name}", (f"  <{_type(field)}>", "cyan")))
        for line in _wrapped(field.description, width, "      "):
            out.print(Text(line))


def _value(value: Any) -> str:
    """A value on one line, as YAML has it."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return " ".join(value.split()) or '""'
    return json.dumps(value, ensure_ascii=False)


def _wrapped(text: str, width: int, indent: str, next_indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=next_indent or indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
