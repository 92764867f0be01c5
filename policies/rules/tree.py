"""Walks plain values by property path. Every finding names its path; an unknown value is never treated as absent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.rules.model import UNKNOWN, HiddenError

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*")
_STEP = re.compile(r'\["(.*?)"\]|\[(\d+)\]|([A-Za-z_][\w-]*)')


def extend(path: str, key: str | int) -> str:
    """``path`` continued by an object's key or a list's index: ``spec.ports[0]``, ``metadata.labels["a.b/c"]``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if _PLAIN_KEY.fullmatch(key) is None:
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def path_steps(path: str) -> Iterator[str | int]:
    """The keys and indices of a path as ``extend`` writes it."""
    for quoted, index, plain in _STEP.findall(path):
        yield int(index) if index else quoted or plain


class Node:
    """A value and its path. Reading an unknown value, or one of another type than asked for, raises ``HiddenError``."""

    __slots__ = ("_key", "_parent", "value")

    def __init__(self, value: Any, parent: Node | None = None, key: str | int = "") -> None:
        self.value = value
        self._parent = parent
        self._key = key

    @property
    def path(self) -> str:
        if self._parent is None:
            return str(self._key)
        return extend(self._parent.path, self._key)

    @property
    def key(self) -> str:
        """The object key that leads here; of a list's element, that of the list."""
        if isinstance(self._key, int):
            return self._parent.key if self._parent is not None else ""
        return self._key

    @property
    def parent(self) -> Node | None:
        """The object or list that holds it."""
        return self._parent

    def holding(self, value: Any) -> Node:
        """Another value in the same place."""
        return Node(value, self._parent, self._key)

    @property
    def present(self) -> bool:
        return self.value is not None

    def get(self, *keys: str) -> Node:
        """The node below ``keys``; its value is None where an object lacks the key."""
        node = self
        for key in keys:
            value = node.value
            if value is None:
                child = None
            elif isinstance(value, dict):
                child = value.get(key)
            else:
                raise node._refuse("an object")
            node = Node(child, node, key)
        return node

    def peek(self, *keys: str) -> Any:
        """The value below ``keys``, or None where there is none or it cannot be seen: for what only relaxes a rule."""
        value = self.value
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def each(self) -> Iterator[Node]:
        """The elements of a list; none where it is absent."""
        if self.value is None:
            return
        if not isinstance(self.value, list):
            raise self._refuse("a list")
        for index, element in enumerate(self.value):
            yield Node(element, self, index)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Keys and values of an object; none where it is absent."""
        if self.value is None:
            return
        if not isinstance(self.value, dict):
            raise self._refuse("an object")
        for key, value in self.value.items():
            yield str(key), Node(value, self, str(key))

    def flag(self) -> bool | None:
        if self.value is None or isinstance(self.value, bool):
            return self.value
        raise self._refuse("true or false")

    def text(self) -> str | None:
        if self.value is None or isinstance(self.value, str):
            return self.value
        raise self._refuse("a string")

    def number(self) -> float | None:
        """A number; CrossGuard gives integers as floats."""
        if self.value is None:
            return None
        if isinstance(self.value, int | float) and not isinstance(self.value, bool):
            return float(self.value)
        raise self._refuse("a number")

    def texts(self) -> Iterator[tuple[Node, str]]:
        """Every string at or below this node, keys not included. Raises at the first unknown one, after the others."""
        hidden: Node | None = None
        pending = [self]
        while pending:
            node = pending.pop()
            value = node.value
            if isinstance(value, str):
                yield node, value
            elif isinstance(value, dict):
                pending.extend(Node(child, node, str(key)) for key, child in reversed(value.items()))
            elif isinstance(value, list):
                pending.extend(Node(child, node, index) for index, child in reversed(list(enumerate(value))))
            elif value is UNKNOWN:
                hidden = node if hidden is None else hidden
        if hidden is not None:
            raise hidden._refuse("a string")

    def __bool__(self) -> bool:
        raise TypeError("ask a node for .present or for its value")

    def _refuse(self, expected: str) -> HiddenError:
        if self.value is UNKNOWN:
            return HiddenError(self.path, "is not known before deployment")
        return HiddenError(self.path, f"is not {expected}")
