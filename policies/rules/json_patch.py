"""Patches inside other objects, as the part of an object that they set: JSON patches (RFC 6902), and merges.

Judges nothing. What a patch removes is not seen here.
"""

from __future__ import annotations

from typing import Any

_SETS = frozenset(("add", "replace"))


def is_json_patch(value: Any) -> bool:
    """Whether ``value`` is a list of operations."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(operation, dict) and isinstance(operation.get("op"), str) and "path" in operation
            for operation in value
        )
    )


def unseen(operations: list[dict[str, Any]]) -> bool:
    """Whether an operation takes what it sets from elsewhere, or says no path."""
    return any(
        operation["op"] in ("move", "copy") or not isinstance(operation["path"], str) for operation in operations
    )


def what_it_sets(operations: list[dict[str, Any]]) -> Any:
    """The part of an object that the operations set; places in lists are counted from 0."""
    root: dict[str, Any] = {}
    for operation in operations:
        if operation["op"] not in _SETS or not isinstance(operation["path"], str):
            continue
        steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        if not steps:
            if isinstance(operation.get("value"), dict):
                root.update(operation["value"])
            continue
        node = root
        for step in steps[:-1]:
            below = node.get(step)
            if isinstance(below, list):
                below = {str(index): item for index, item in enumerate(below)}
            node[step] = node = dict(below) if isinstance(below, dict) else {}
        last = steps[-1]
        while last == "-" and last in node:
            # A second element that is appended.
            last = str(len(node))
        node[last] = operation.get("value")
    return _lists(root)


def _lists(value: Any) -> Any:
    """Objects whose keys are places in a list become lists."""
    if not isinstance(value, dict):
        return value
    below = {key: _lists(child) for key, child in value.items()}
    if below and all(key == "-" or key.isdecimal() for key in below if isinstance(key, str)):
        return list(below.values())
    return below
