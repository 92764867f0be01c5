"""0 done, 1 failed or refused, 2 bad input, 130 interrupted: what scripts and pipelines rely on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edge import exit_codes
from stacks.catalogue import PROJECT_ROOT
from tests.edge.conftest import Project
from tests.edge.sites import broken_site, refused_site, site

# `edge` in a process of its own, on a project of the test's own.
EDGE = "import os, sys; os.chdir(sys.argv.pop(1)); from edge.cli import main; main()"
_WAITS = """
import asyncio, os, pathlib, pulumi
from stacks.program import build
build(pathlib.Path(__file__).parent)
pulumi.export("never", pulumi.Output.from_input(asyncio.get_event_loop().create_future()))
(pathlib.Path(__file__).parent / f"waits-{os.getpid()}").touch()
"""
_DEADLINE_S = 60


def test_they_are_the_documented_ones(project: Project) -> None:
    said = " ".join(project.edge("--help").stdout.split())
    documented = [int(code) for code in re.findall(r"\b(\d+) (?:done|failed|bad input|interrupted)", said)]
    codes = [exit_codes.DONE, exit_codes.FAILED, exit_codes.BAD_INPUT, exit_codes.INTERRUPTED]
    assert documented == codes == [0, 1, 2, 130]


def test_0_for_a_sound_site_1_for_a_refused_one_2_for_a_broken_file(project: Project) -> None:
    sound, refused = site(project.sites, "sound"), refused_site(project.sites)
    broken = broken_site(project.sites)
    assert project.edge("check", sound).code == 0
    assert project.edge("check", sound, refused).code == 1
    assert project.edge("check", refused, broken, sound).code == 2


@pytest.mark.parametrize("arguments", [(), ("--jobs", "2")], ids=["one process", "worker processes"])
def test_130_after_an_interrupt_and_no_process_is_left(project: Project, arguments: tuple[str, ...]) -> None:
    """^C goes to the whole process group, as a terminal sends it."""
    (project.root / "__main__.py").write_text(_WAITS)
    for number in range(3):
        site(project.sites, f"shop-{number}")
    edge = subprocess.Popen(
        [sys.executable, "-c", EDGE, str(project.root), "check", *arguments],
        cwd=PROJECT_ROOT,
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        encoding="utf-8",
    )
    waiting = _wait_for_programs(project.root, 2 if arguments else 1, edge)
    group = [one for one in psutil.process_iter(["pid"]) if _group(one.pid) == edge.pid]
    os.killpg(edge.pid, signal.SIGINT)
    _, stderr = edge.communicate(timeout=_DEADLINE_S)
    assert (edge.returncode, stderr.splitlines()[-1:]) == (130, ["Interrupted."])
    assert {one.pid for one in group} >= set(waiting)
    _, alive = psutil.wait_procs(group, timeout=_DEADLINE_S)
    assert alive == []


def _wait_for_programs(root: Path, number: int, edge: subprocess.Popen[str]) -> list[int]:
    """Process ids in which the program waits, once there are as many as ``number``."""
    deadline = time.monotonic() + _DEADLINE_S
    while len(found := list(root.glob("waits-*"))) < number:
        assert edge.poll() is None, edge.communicate()
        assert time.monotonic() < deadline, "the program was not run"
        time.sleep(0.05)
    return [int(file.name.removeprefix("waits-")) for file in found]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
