"""Programs and policy packs inside the process that drives the engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pulumi
import pytest
from pulumi.runtime import get_root_resource

from edge.run.attached import AlreadyRunning, attached
from engine.environment import environment, file_backend
from engine.obtain.cli import locate
from engine.rehearsal.serving import RehearsalServer
from engine.stand_in import pack_host, runners
from tests.engine.sdk_attributes import changed, sdk_attributes

# Generous: these only bound a test that fails.
_DEADLINE_SECONDS = 60


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_host, "is_our_shim", lambda _path: True)


def packs() -> list[psutil.Process]:
    """The processes below this one that wait for a policy pack."""
    return [one for one in psutil.Process().children() if str(runners.PACK) in one.cmdline()]


def _fails(what: str) -> str:
    raise KeyError(f"no {what}")


@pytest.mark.engine
def test_an_output_that_fails_fails_the_run_and_says_why(tmp_path: Path) -> None:
    def program() -> None:
        pulumi.export("waits", pulumi.Output.from_input("uplink").apply(_fails))

    done = preview(program, tmp_path)
    assert done.returncode != 0
    assert "KeyError: 'no uplink'" in done.stdout + done.stderr


@pytest.mark.engine
def test_a_program_runs_in_this_process(tmp_path: Path) -> None:
    here = []
    done = preview(lambda: here.append(os.getpid()), tmp_path)
    assert done.returncode == 0, done.stderr
    assert here == [os.getpid()]


@pytest.mark.engine
def test_messages_of_a_program_reach_the_engine_but_not_its_debug_messages(tmp_path: Path) -> None:
    def program() -> None:
        for severity in ("debug", "info", "warn"):
            getattr(pulumi.log, severity)(f"this is {severity}")

    done = preview(program, tmp_path, "--debug")
    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    assert ("this is debug" in shown, "this is info" in shown, "this is warn" in shown) == (False, True, True)


def preview(program: Callable[[], None], folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "state").mkdir()
    (folder / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
    with RehearsalServer() as server, attached(program, with_pack=False) as host:
        variables = environment(rehearsal=server.debug_providers, backend=file_backend(folder / "state"))
        pulumi_cli, everything = str(locate().path), {**os.environ, **variables, **host.variables}
        subprocess.run([pulumi_cli, "stack", "init", "one"], cwd=folder, env=everything, check=True)
        return subprocess.run(
            [pulumi_cli, "preview", "--stack", "one", "--non-interactive", *options, *host.arguments],
            cwd=folder,
            env=everything,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_SECONDS,
            check=False,
        )


@pytest.mark.usefixtures("thin")
def test_a_pack_is_started_at_once_and_ended_with_the_host() -> None:
    with attached(lambda: None, with_pack=True):
        (pack,) = packs()
        assert os.getpgid(pack.pid) != os.getpgid(0), "a terminal's ^C is for the engine to pass on"
    psutil.wait_procs([pack], timeout=_DEADLINE_SECONDS)
    assert not packs()


@pytest.mark.usefixtures("thin")
def test_without_a_pack_no_process_is_started() -> None:
    with attached(lambda: None, with_pack=False):
        assert not packs()


def test_an_official_host_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_host, "is_our_shim", lambda _path: False)
    with attached(lambda: None, with_pack=True) as host:
        assert host.variables == {}
        assert not packs()


def test_a_pack_ends_when_its_host_is_gone(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(3600)\n")
    pack = subprocess.Popen(
        [sys.executable, "-u", "-P", str(runners.PACK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert pack.stdin is not None
    assert pack.stdout is not None
    request = {"arguments": ["engine", str(tmp_path)], "folder": str(tmp_path), "environment": dict(os.environ)}
    pack.stdin.write(json.dumps(request).encode() + b"\n")
    pack.stdin.flush()
    assert pack.stdout.readline() == b"up\n"
    pack.stdin.close()
    assert pack.wait(_DEADLINE_SECONDS) == 0


def test_a_pack_that_is_never_asked_for_ends_with_its_input(tmp_path: Path) -> None:
    pack = subprocess.run(
        [sys.executable, "-P", str(runners.PACK)], stdin=subprocess.DEVNULL, cwd=tmp_path, check=False
    )
    assert pack.returncode == 0


def test_a_second_program_in_one_process_is_refused() -> None:
    with (
        attached(lambda: None, with_pack=False),
        pytest.raises(AlreadyRunning, match="one process for each further site"),
        attached(lambda: None, with_pack=False),
    ):
        """Never reached."""


def test_a_program_may_follow_another() -> None:
    for _ in range(2):
        with attached(lambda: None, with_pack=False) as host:
            assert host.arguments


@pytest.mark.engine
def test_nothing_of_the_sdk_is_patched_by_a_run(tmp_path: Path) -> None:
    before = sdk_attributes()
    during = []
    done = preview(lambda: during.append(sdk_attributes()), tmp_path)
    assert done.returncode == 0, done.stderr
    assert changed(before, during[0]) == changed(before, sdk_attributes()) == []
    assert get_root_resource() is None
