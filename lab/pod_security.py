"""Kubernetes' own evaluator of the Pod Security Standards, built from the Go module pinned in pod_security/."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.builds import go_program

_SOURCE = Path(__file__).with_name("pod_security")


def program() -> Path:
    """The evaluator. Raises EngineError with one clear line."""
    return go_program(_SOURCE, ".", "pod-security")


def reasons(pods: Sequence[Mapping[str, Any]], minors: Sequence[int]) -> list[dict[tuple[str, int], frozenset[str]]]:
    """For each pod, by level (`baseline`, `restricted`) and minor of Kubernetes: why it is forbidden.

    Raises EngineError where the evaluator cannot be built, and CalledProcessError where a pod is none.
    """
    command = [str(program()), *map(str, minors)]
    done = subprocess.run(command, input=json.dumps(pods), capture_output=True, text=True, check=True)
    return [{_key(at): frozenset(why) for at, why in verdict.items()} for verdict in json.loads(done.stdout)]


def _key(at: str) -> tuple[str, int]:
    level, minor = at.split()
    return level, int(minor)
