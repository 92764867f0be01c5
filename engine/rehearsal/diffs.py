"""What an update would do: the changed properties of a resource, and whether they replace it.

Compares inputs with inputs, as the real providers do; secrets by what they hold, unknowns as changed. Owns the
comparison; the tables are in `replacements`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.rehearsal.replacements import rule
from engine.rehearsal.values import UNKNOWN, join, reveal

Change = Literal["ADD", "ADD_REPLACE", "DELETE", "DELETE_REPLACE", "UPDATE", "UPDATE_REPLACE"]
_INDEX = re.compile(r"\[\d+\]")
# Set by the engine and the SDKs beside a provider's own inputs; the real providers ignore them when they compare.
_IGNORED = frozenset({"__defaults", "__internal", "version", "pluginDownloadURL"})


@dataclass(frozen=True, slots=True)
class Diff:
    """``detailed`` has the full path of every change, ``replaces`` those of them that force a replacement."""

    changes: bool
    replaces: tuple[str, ...] = ()
    delete_before_replace: bool = False
    detailed: Mapping[str, Change] = field(default_factory=dict)


def diff(
    token: str,
    old_inputs: Mapping[str, Any],
    new_inputs: Mapping[str, Any],
    provider_config: Mapping[str, Any] | None = None,
) -> Diff:
    """The decision of the type's real provider on these two sets of inputs."""
    old, new = reveal(dict(old_inputs)), reveal(dict(new_inputs))
    if token.startswith("pulumi:providers:"):
        old = {key: value for key, value in old.items() if key not in _IGNORED}
        new = {key: value for key, value in new.items() if key not in _IGNORED}
    changed = dict(_compare(old, new, ""))
    if not changed:
        return Diff(changes=False)
    found = rule(token, old, new, provider_config or {})
    replaces = tuple(path for path in changed if _forces(path, found.paths))
    detailed: dict[str, Change] = {
        path: _replacing(kind) if path in replaces else kind for path, kind in changed.items()
    }
    return Diff(True, replaces, bool(replaces) and found.delete_first, detailed)


def _replacing(kind: Change) -> Change:
    return {"ADD": "ADD_REPLACE", "DELETE": "DELETE_REPLACE"}.get(kind, "UPDATE_REPLACE")  # type: ignore[return-value]


def _forces(path: str, patterns: tuple[str, ...]) -> bool:
    plain = _INDEX.sub("[*]", path)
    return any(
        not pattern or plain == pattern or (plain.startswith(pattern) and plain[len(pattern)] in ".[")
        for pattern in patterns
    )


def _compare(old: Any, new: Any, path: str) -> Iterator[tuple[str, Change]]:
    if new is UNKNOWN or old is UNKNOWN:
        yield path, "UPDATE"
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            here = join(path, key)
            was, now = old.get(key), new.get(key)
            if was is None and now is None:
                continue
            if was is None:
                yield from _subtree(now, here, "ADD")
            elif now is None:
                yield from _subtree(was, here, "DELETE")
            else:
                yield from _compare(was, now, here)
        return
    if isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            here = f"{path}[{index}]"
            if index >= len(old):
                yield from _subtree(new[index], here, "ADD")
            elif index >= len(new):
                yield from _subtree(old[index], here, "DELETE")
            else:
                yield from _compare(old[index], new[index], here)
        return
    if old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, "UPDATE"


def _subtree(value: Any, path: str, kind: Change) -> Iterator[tuple[str, Change]]:
    """One entry per leaf, so that a rule deep inside something added or removed is still seen."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _subtree(item, join(path, key), kind)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _subtree(item, f"{path}[{index}]", kind)
    else:
        yield path, kind
