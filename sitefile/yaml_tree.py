"""Values of a YAML file with the position of each, and the walk over them.

Owns the form of the tree and what an unquoted value means: the YAML 1.2 core schema, so that `no`, `20:30` and `02:00`
stay text. Reads no files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sitefile.problems import DataPath, Position

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_NUMBER_START = frozenset("+-.0123456789")


@dataclass(slots=True, eq=False)
class ScalarNode:
    value: bool | int | float | str | None
    position: Position
    text: str
    removes: bool = False
    """An explicit null over a value of a layer below."""
    replaces: ScalarNode | None = None
    """The value of a layer below that this one stands in for."""
    tagged: bool = False
    """It has a tag, which is refused; errors about its value are not reported."""
    size: int = 1
    height: int = 1


@dataclass(slots=True, eq=False)
class SequenceNode:
    items: list[Node]
    position: Position
    tagged: bool = False
    size: int = 1
    height: int = 1


@dataclass(slots=True, eq=False)
class MappingNode:
    entries: dict[str, Node]
    keys: dict[str, Position]
    position: Position
    incomplete: bool = False
    """A key of it was refused, so a key that is missing may be that one."""
    tagged: bool = False
    size: int = 1
    height: int = 1


Node = ScalarNode | SequenceNode | MappingNode


def plain(node: Node) -> Any:
    """The values without their positions, as in JSON."""
    if isinstance(node, MappingNode):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node.items]
    return node.value


def find(node: Node, path: DataPath) -> Node | None:
    """The node at ``path``, if there is one."""
    found: Node | None = node
    for element in path:
        if isinstance(found, MappingNode) and isinstance(element, str):
            found = found.entries.get(element)
        elif isinstance(found, SequenceNode) and isinstance(element, int) and element < len(found.items):
            found = found.items[element]
        else:
            return None
    return found


def lost(tree: Node, path: DataPath) -> bool:
    """Whether the value missing at ``path`` may be in a part of the file that was refused."""
    parent = find(tree, path[:-1])
    return isinstance(parent, MappingNode) and parent.incomplete and path[-1] not in parent.entries


def drop(tree: MappingNode, path: DataPath) -> None:
    """Remove the key at ``path`` from the tree."""
    parent = find(tree, path[:-1])
    if isinstance(parent, MappingNode) and isinstance(path[-1], str):
        parent.entries.pop(path[-1], None)
        parent.keys.pop(path[-1], None)


def scalars(node: Node, path: DataPath = ()) -> Iterator[tuple[DataPath, ScalarNode]]:
    """Every single value of the tree with its path."""
    if isinstance(node, MappingNode):
        for key, value in node.entries.items():
            yield from scalars(value, (*path, key))
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.items):
            yield from scalars(item, (*path, index))
    else:
        yield path, node


def resolve(text: str) -> bool | int | float | str | None:
    """The value of unquoted text in the YAML 1.2 core schema. Infinities and not-a-number stay text."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] in _NUMBER_START:
        if _INT.fullmatch(text):
            digits = text.lstrip("+-")
            return text if len(digits) > 1 and digits[0] == "0" else int(text)
        if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
            return number
    return text
