"""What differs in a resource: each property with its old and its new value, as the engine's events tell it.

Pure. The engine has masked secrets before it tells anything: a secret is `[secret]` on both sides, also where the whole
object around a property is secret. A value that is only known after `up` is `[unknown]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

SECRET = "[secret]"
UNKNOWN = "[unknown]"

# How the engine's documents mark what is not a plain value.
_SIGNATURE, _IS_SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
_UNKNOWN_VALUES = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
_PATH_ELEMENT = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)')


class _Absent(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""There is no such property."""


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """One property that differs: a whole value, never cut."""

    path: str
    kind: str
    """`add`, `delete`, `update`, or one of these with `-replace`."""
    before: Any = ABSENT
    after: Any = ABSENT

    def as_dict(self) -> dict[str, Any]:
        """The entry in the document of `--json`; a side without a value is left out."""
        document: dict[str, Any] = {"path": self.path, "kind": self.kind}
        if self.before is not ABSENT:
            document["before"] = self.before
        if self.after is not ABSENT:
            document["after"] = self.after
        return document


def changes_of(metadata: Mapping[str, Any]) -> tuple[PropertyChange, ...]:
    """The properties that differ in one step of the engine, by path; all of them where a resource comes or goes."""
    return tuple(sorted(_changes(metadata), key=lambda change: change.path))


def between(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[PropertyChange]:
    """Entries that differ between two mappings, in the order of their names."""
    for key in sorted({*old, *new}):
        before, after = plain_value(old.get(key, ABSENT)), plain_value(new.get(key, ABSENT))
        if before != after:
            yield PropertyChange(
                key, "add" if before is ABSENT else "delete" if after is ABSENT else "update", before, after
            )


def plain_value(value: Any) -> Any:
    """A value of an event without the engine's marks."""
    if isinstance(value, str):
        return UNKNOWN if value in _UNKNOWN_VALUES else value
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _IS_SECRET:
            return SECRET
        return {key: plain_value(item) for key, item in value.items() if key != _SIGNATURE}
    return value


def _changes(metadata: Mapping[str, Any]) -> Iterator[PropertyChange]:
    old, new = metadata.get("old") or {}, metadata.get("new") or {}
    before, after = old.get("inputs") or {}, new.get("inputs") or {}
    step, detailed = metadata["op"], metadata.get("detailedDiff") or {}
    if step == "create":
        yield from between({}, after)
    elif step == "delete":
        yield from between(before, {})
    elif detailed:
        for path, diff in detailed.items():
            # Some providers compare with what they have found, which is among the outputs.
            found = ABSENT if diff.get("inputDiff") else _at(old.get("outputs") or {}, path)
            known = _at(before, path) if found is ABSENT else found
            yield PropertyChange(path, diff.get("diffKind", "update"), known, _at(after, path))
    elif named := metadata.get("diffs"):
        yield from (PropertyChange(path, "update", _at(before, path), _at(after, path)) for path in named)
    elif step in ("update", "replace", "create-replacement"):
        # Components have no diff of a provider.
        yield from between(before, after)


def _at(value: Any, path: str) -> Any:
    """The value at a property path as the engine writes it: ``spec.ports[0].name``, ``labels["a.b/c"]``."""
    value = plain_value(value)
    for quoted, index, key in _PATH_ELEMENT.findall(path):
        if value in (SECRET, UNKNOWN):
            return value
        if index:
            if not isinstance(value, list) or int(index) >= len(value):
                return ABSENT
            value = value[int(index)]
        else:
            name = quoted.replace('\\"', '"') if quoted else key
            if not isinstance(value, dict) or name not in value:
                return ABSENT
            value = value[name]
    return value
