"""Values of a YAML file with the place of each, and the walk over them.

Owns the tree's form and what an unquoted value means (the YAML 1.2 core schema, so that `no`, `20:30` and `02:00` stay
text). Reads nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sitefile.problems import DataPath, Place

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_NUMBER_START = frozenset("+-.0123456789")


@dataclass(slots=True, eq=False)
class ScalarNode:
    value: bool | int | float | str | None
    place: Place
    text: str
    removes: bool = False
    """An explicit null over a value of a layer below."""
    tagged: bool = False
    """It has a tag, which is refused: what it would be without says nothing."""
    size: int = 1
    height: int = 1


@dataclass(slots=True, eq=False)
class SequenceNode:
    items: list[Node]
    place: Place
    tagged: bool = False
    size: int = 1
    height: int = 1


@dataclass(slots=True, eq=False)
class MappingNode:
    entries: dict[str, Node]
    keys: dict[str, Place]
    place: Place
    incomplete: bool = False
    """A key of it was refused, so a missing key proves nothing."""
    tagged: bool = False
    size: int = 1
    height: int = 1


Node = ScalarNode | SequenceNode | MappingNode


def plain(node: Node) -> Any:
    """The values without their places, as JSON has them."""
    if isinstance(node, MappingNode):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node.items]
    return node.value


def find(node: Node, path: DataPath) -> Node | None:
    """The node at ``path``, if the file or a layer below it has one."""
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
    """Whether what is not at ``path`` may stand in a part of the file that was refused."""
    parent = find(tree, path[:-1])
    return isinstance(parent, MappingNode) and parent.incomplete and path[-1] not in parent.entries


def drop(tree: MappingNode, path: DataPath) -> None:
    """Take the key at ``path`` out of the tree."""
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
    """What an unquoted value is by the YAML 1.2 core schema; infinities and not-a-number stay text."""
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
