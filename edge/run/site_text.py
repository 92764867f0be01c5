"""A site file's values as the text that a person would write: short blocks on one line, text of many lines as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from sitefile.yaml_tree import resolve

SCHEMA = "# yaml-language-server: $schema=../site.schema.json\n"
_LINE, _ENTRY = 110, 180
"""Longest line of a block, and of an entry of a list: a host is best read on one line."""


class _Dumper(yaml.SafeDumper):
    """Quotes what `sitefile` would not read as text: it knows YAML 1.2, and PyYAML writes for 1.1."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    quoted = not isinstance(resolve(value), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if quoted else None)


_Dumper.add_representer(str, _text)


def site_text(content: Mapping[str, Any]) -> str:
    """A site file with these values, in their order."""
    return SCHEMA + "".join(f"{line}\n" for key, value in content.items() for line in _entry(key, value, ""))


def _entry(key: str, value: Any, pad: str) -> Iterator[str]:
    head = f"{pad}{_flow(key)}:"
    one_line = f"{head} {_flow(value)}"
    if _is_literal(value):
        yield f"{head} {_literal_mark(value)}"
        yield from (f"{pad}  {line}" if line else "" for line in value.rstrip("\n").split("\n"))
    elif not isinstance(value, dict | list) or not value or (len(one_line) <= _LINE and not _needs_block(value)):
        yield one_line
    else:
        yield head
        yield from _block(value, f"{pad}  ")


def _block(value: Any, pad: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _entry(key, item, pad)
        return
    for item in value:
        one_line = f"{pad}- {_flow(item)}"
        if not isinstance(item, dict) or not item or (len(one_line) <= _ENTRY and not _has_literal(item)):
            yield one_line
        else:
            first, *rest = _block(item, f"{pad}  ")
            yield f"{pad}- {first.removeprefix(f'{pad}  ')}"
            yield from rest


def _needs_block(value: Any) -> bool:
    """Whether a value is not written on one line although it would fit."""
    return _has_literal(value) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def _has_literal(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(_has_literal(item) for item in (value.values() if isinstance(value, dict) else value))
    return _is_literal(value)


def _is_literal(value: Any) -> bool:
    """Whether it is text of several lines that a literal block holds unchanged, at the ends of its lines too."""
    if not isinstance(value, str) or "\n" not in value.rstrip("\n") or value[0] in " \t\n":
        return False
    lines = value.rstrip("\n").split("\n")
    return len(value) - len(value.rstrip("\n")) < 2 and all(
        line.isprintable() and line == line.rstrip() for line in lines
    )


def _literal_mark(value: str) -> str:
    return "|" if value.endswith("\n") else "|-"


def _flow(value: Any) -> str:
    written = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9
    ).rstrip("\n")
    return written.removesuffix("\n...")
