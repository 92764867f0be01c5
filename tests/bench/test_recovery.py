"""The phases of `make bench-recovery` are those of the run, whatever else the engine says of a command."""

from __future__ import annotations

from typing import Any

from bench.recovery import PHASES, times


def _event(name: str, op: str) -> dict[str, Any]:
    urn = f"urn:pulumi:lab::edge::command:remote:Command::{name}"
    return {"resOutputsEvent": {"metadata": {"urn": urn, "op": op}}}


def test_a_replaced_command_has_ended_when_its_new_self_has_run() -> None:
    seen = [
        (1.0, _event("lab-a-reachable", "create-replacement")),
        (1.0, _event("lab-a-reachable", "replace")),
        (2.0, _event("lab-a-base", "create")),
        (3.0, _event("lab-b", "same")),
        (5.0, _event("lab-a-k3s-admit", "create-replacement")),
        (9.0, _event("lab-a-k3s", "create")),
        (11.0, _event("lab-a-reachable", "delete-replaced")),
        (11.0, _event("lab-a-k3s-admit", "delete-replaced")),
        (12.0, {"summaryEvent": {}}),
    ]
    assert list(times(seen, "lab-a", 12.0).values()) == [2.0, 3.0, 4.0, 3.0]
    assert list(times(seen, "lab-a", 12.0)) == list(PHASES)
