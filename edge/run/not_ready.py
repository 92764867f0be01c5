"""What a controller says of a Kubernetes object that did not become Ready in time. Pure.

The Kubernetes plugin only says that it has timed out; the object that it has seen last is in the engine's event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_TELL = ("Stalled", "Ready")
"""Conditions that say why, the final one first."""


def reason(outputs: Mapping[str, Any]) -> str:
    """The controller's own words; empty where the object says nothing."""
    spec, status = (value if isinstance(value := outputs.get(key), dict) else {} for key in ("spec", "status"))
    if spec.get("suspend") is True:
        return f"{_name(outputs)} is suspended: its controller does nothing until `spec.suspend` is removed"
    for condition in _conditions(status):
        return f"{_name(outputs)} says: {condition}"
    return ""


def _conditions(status: Mapping[str, Any]) -> Iterator[str]:
    found = status.get("conditions")
    by_type = {one.get("type"): one for one in found if isinstance(one, dict)} if isinstance(found, list) else {}
    for kind in _TELL:
        one = by_type.get(kind, {})
        bad = one.get("status") == "True" if kind == "Stalled" else one.get("status") in ("False", "Unknown")
        if bad and one.get("message"):
            # In one line, whatever a server has answered: it stands first in lists of many sites.
            yield " ".join(f"{one.get('reason', kind)}: {one['message']}".split())


def _name(outputs: Mapping[str, Any]) -> str:
    metadata = outputs.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return " ".join(str(word) for word in (outputs.get("kind"), name) if word) or "the object"
