"""The same program on plugins that the engine finds on PATH and starts itself, as it does with the official ones.

Where the official plugins are not installed, executables of their names that serve the rehearsal show the way there:
discovery, start, handshake, and that nothing of the program asks for a rehearsal.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.environment import PROJECT_ROOT
from tests.engine_run import Rehearsed, stack

pytestmark = pytest.mark.engine

_NEEDED = ("command", "kubernetes")


def _real(run: Rehearsed, path: str) -> Rehearsed:
    """The same stack as in a run without rehearsal: nothing is attached, plugins come from ``path``."""
    variables: Mapping[str, str] = {
        **{key: value for key, value in run.variables.items() if key != "PULUMI_DEBUG_PROVIDERS"},
        "PATH": path + os.pathsep + run.variables["PATH"],
    }
    return Rehearsed(run.name, run.home, variables)


def _without_plugins(path: str) -> str:
    """``path`` without the folders that have plugins: on a machine with the official ones, these are found nowhere."""
    return os.pathsep.join(each for each in path.split(os.pathsep) if not any(Path(each).glob("pulumi-resource-*")))


def _plugin(folder: Path, name: str, log: Path) -> None:
    executable = folder / f"pulumi-resource-{name}"
    executable.write_text(
        f'#!/bin/sh\necho {name} >>"{log}"\n'
        f'PYTHONPATH="{PROJECT_ROOT}" exec "{sys.executable}" -m engine.rehearsal plugin {name}\n'
    )
    executable.chmod(0o755)


def test_the_program_runs_unchanged_on_plugins_that_the_engine_starts(tmp_path: Path) -> None:
    folder, log = tmp_path / "plugins", tmp_path / "started"
    folder.mkdir()
    for name in _NEEDED:
        _plugin(folder, name, log)
    with stack(tmp_path / "stack", "demo") as run:
        real = _real(run, str(folder))
        first = real.up()
        assert "created" in first.stdout
        second = real.pulumi("preview", "--non-interactive", "--expect-no-changes")
        assert "unchanged" in second.stdout
    assert set(log.read_text().split()) == set(_NEEDED), "these plugins, not an attached rehearsal, did the work"


def test_without_a_plugin_the_engine_says_which_one_is_missing(tmp_path: Path) -> None:
    with stack(tmp_path / "stack", "demo") as run:
        real = _real(run, str(tmp_path))
        variables = {**real.variables, "PATH": _without_plugins(real.variables["PATH"])}
        done = Rehearsed(real.name, real.home, variables).pulumi("preview", "--non-interactive", check=False)
    assert done.returncode != 0
    assert "command" in done.stdout + done.stderr


_OFFICIAL = {name: shutil.which(f"pulumi-resource-{name}") for name in _NEEDED}


@pytest.mark.skipif(None in _OFFICIAL.values(), reason="the official command and kubernetes plugins are not on PATH")
def test_the_official_plugins_preview_the_demo_site(tmp_path: Path) -> None:
    with stack(tmp_path / "stack", "demo") as run:
        real = _real(run, os.environ["PATH"])
        done = real.pulumi("preview", "--non-interactive")
    assert "to create" in done.stdout
