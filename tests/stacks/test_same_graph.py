"""`edge check` and the engine see the same site: the differential test of the two ways to run the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.run import program
from edge.run.program import Configuration
from engine.rehearsal.in_process import Recorded, Recording, Secret
from engine.rehearsal.values import SECRET_SIGNATURE, SIGNATURE, from_wire, reveal
from stacks.configuration import PLACEHOLDER
from stacks.loader import load_site, site_names
from stacks.parts import required
from stacks.site import SiteSpec
from tests.engine_run import stack

# What the engine itself adds to a provider's inputs, from the SDK's version.
_ENGINES_OWN = frozenset({"__internal", "version"})


def recorded(spec: SiteSpec) -> Recording:
    config = {f"edge:{need.key}": PLACEHOLDER + need.key for need in required(spec)}
    recording, _ = program.recorded(spec, Configuration(config, frozenset(config)))
    return recording


def of_recording(resource: Recorded) -> dict[str, Any]:
    return {
        "type": resource.type,
        "name": resource.name,
        "parent": resource.parent,
        "dependencies": sorted(resource.dependencies),
        "inputs": _without(resource.inputs),
        "secret inputs": _secrets(resource.inputs),
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
    }


def _shown(value: Any) -> Any:
    """A tree of an exported state: there a secret holds its value as JSON text."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET_SIGNATURE:
            return {SIGNATURE: SECRET_SIGNATURE, "value": _shown(json.loads(value["plaintext"]))}
        return {key: _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value


def _is_the_engines(resource: dict[str, Any]) -> bool:
    """The stack itself, and providers that nobody declared."""
    return resource["type"] == "pulumi:pulumi:Stack" or "::default_" in resource["urn"]


def _without(inputs: dict[str, Any]) -> Any:
    return {key: value for key, value in reveal(inputs).items() if key not in _ENGINES_OWN and value is not None}


def _secrets(inputs: dict[str, Any]) -> list[str]:
    return sorted(key for key, value in inputs.items() if isinstance(value, Secret))


@pytest.mark.engine
@pytest.mark.parametrize("site", site_names())
def test_check_and_engine_agree_on_every_resource(site: str, tmp_path: Path) -> None:
    with stack(tmp_path / "stack", site) as run:
        run.up()
        state = {r["urn"]: of_state(r) for r in run.resources("--show-secrets") if not _is_the_engines(r)}
    recording = recorded(load_site(site))
    assert not recording.problems
    checked = {r.urn: of_recording(r) for r in recording.resources}
    assert checked.keys() == state.keys()
    for urn, resource in checked.items():
        assert resource == state[urn], urn
