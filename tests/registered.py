"""Resources as the recording of `edge check` has them and as a state has them, in one form to be compared."""

from __future__ import annotations

import json
from typing import Any

from engine.rehearsal.in_process import Recorded, Secret
from engine.rehearsal.values import SECRET_SIGNATURE, SIGNATURE, from_wire, reveal

# What the engine itself adds to a provider's inputs, from the SDK's version.
_ENGINES_OWN = frozenset({"__internal", "version"})


def of_recording(resource: Recorded) -> dict[str, Any]:
    return {
        "type": resource.type,
        "name": resource.name,
        "parent": resource.parent,
        "dependencies": sorted(resource.dependencies),
        "inputs": _without(resource.inputs),
        "secret inputs": _secrets(resource.inputs),
        "deleted with": resource.deleted_with,
        "protected": resource.protect,
        "retained": resource.retain_on_delete,
    }


def of_state(resource: dict[str, Any]) -> dict[str, Any]:
    inputs = from_wire(_shown(resource.get("inputs", {})))
    return {
        "type": resource["type"],
        "name": resource["urn"].rpartition("::")[2],
        "parent": resource.get("parent", ""),
        "dependencies": sorted(resource.get("dependencies", [])),
        "inputs": _without(inputs),
        "secret inputs": _secrets(inputs),
        "deleted with": resource.get("deletedWith", ""),
        "protected": resource.get("protect", False),
        "retained": resource.get("retainOnDelete", False),
    }


def _shown(value: Any) -> Any:
    """A tree of an exported state: there a secret holds its value as JSON text."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET_SIGNATURE:
            return {SIGNATURE: SECRET_SIGNATURE, "value": _shown(json.loads(value["plaintext"]))}
        return {key: _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value


def is_the_engines(resource: dict[str, Any]) -> bool:
    """The stack itself, and providers that nobody declared."""
    is_default = resource["type"].startswith("pulumi:providers:") and "::default" in resource["urn"]
    return resource["type"] == "pulumi:pulumi:Stack" or is_default


def _without(inputs: dict[str, Any]) -> Any:
    return {key: value for key, value in reveal(inputs).items() if key not in _ENGINES_OWN and value is not None}


def _secrets(inputs: dict[str, Any]) -> list[str]:
    return sorted(key for key, value in inputs.items() if isinstance(value, Secret))
