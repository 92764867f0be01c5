"""The temporary folder and the SSH agent of a `pulumi` process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edge.run.pulumi_process import PulumiProcess
from edge.run.surroundings import temporary_folder, without_dead_agent

_KILLED = """
import os, signal
from edge.run.surroundings import temporary_folder
with temporary_folder() as folder:
    (folder / "kubeconfig1").write_text("client-key-data")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_what_a_plugin_leaves_in_its_temporary_folder_goes_with_the_run(
    tmp_path: Path, own_temporary_files: Path
) -> None:
    pulumi = tmp_path / "pulumi"
    pulumi.write_text('#!/bin/bash\necho client-key-data >"$TMPDIR/kubeconfig1"; echo "$TMPDIR"\n')
    pulumi.chmod(0o755)
    lines: list[str] = []
    PulumiProcess(pulumi, tmp_path, {}).run([], lines.append)
    used = Path(lines[0].strip())
    assert used.parent == own_temporary_files
    assert list(own_temporary_files.iterdir()) == []


def test_only_the_user_can_read_the_temporary_folder() -> None:
    with temporary_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0


def test_the_folder_of_a_killed_run_is_removed_by_the_next_and_one_in_use_stays() -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = Path(killed.stdout.strip())
    assert (left / "kubeconfig1").exists()
    with temporary_folder() as first, temporary_folder() as second:
        assert not left.exists()
        assert first.exists()
        assert second.exists()


def test_an_agent_that_does_not_answer_is_not_passed_on(tmp_path: Path) -> None:
    gone = {"SSH_AUTH_SOCK": str(tmp_path / "gone"), "HOME": "/root"}
    assert without_dead_agent(gone) == {"HOME": "/root"}
    assert without_dead_agent({"HOME": "/root"}) == {"HOME": "/root"}


def test_an_agent_that_was_killed_is_not_passed_on(tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(path)
    assert os.path.exists(path)
    assert without_dead_agent({"SSH_AUTH_SOCK": path}) == {}


def test_an_agent_that_answers_is_passed_on(tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(path)
        agent.listen()
        assert without_dead_agent({"SSH_AUTH_SOCK": path}) == {"SSH_AUTH_SOCK": path}
