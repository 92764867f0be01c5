"""`edge-lab`: what it prints, with which exit code it leaves, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from lab.cli import app
from lab.hosts.lab import Lab

Command = Callable[..., Result]


@pytest.fixture
def edge_lab() -> Command:
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(one) for one in arguments])  # type: ignore[return-value]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")


def test_hosts_come_up_are_told_and_go(edge_lab: Command, other_lab: Lab) -> None:
    folder, layout = other_lab.folder, other_lab.layout
    result = edge_lab("up", "x", "--dir", folder, "--name", layout.name, "--subnet", layout.subnet)
    assert result.exit_code == 0, result.output
    host = Lab(folder)["x"]
    assert result.stdout.splitlines()[0].split() == ["x", host.address, *host.host_key.split()]
    assert edge_lab("down", "--dir", folder).exit_code == 0
    assert not folder.exists()
    assert "no lab in" in edge_lab("status", "--dir", folder).stdout


def test_status_is_one_document_that_a_site_file_can_be_written_from(edge_lab: Command, lab: Lab) -> None:
    document = json.loads(edge_lab("status", "--dir", lab.folder, "--json").stdout)
    assert document["gateway"] == lab.layout.gateway
    assert Path(document["operator_key"]).is_file()
    assert [(host["name"], host["address"], host["host_key"]) for host in document["hosts"]] == [
        (host.name, host.address, host.host_key) for host in lab.hosts.values()
    ]
    assert all(host["on"] and host["ssh"] and host["plugged"] for host in document["hosts"])


def test_faults_are_seen_in_the_status_and_put_right(edge_lab: Command, lab: Lab) -> None:
    def state() -> list[bool]:
        hosts = json.loads(edge_lab("status", "--dir", lab.folder, "--json").stdout)["hosts"]
        return [host[what] for host in hosts if host["name"] == "b" for what in ("on", "plugged", "ssh")]

    for kind, expected in (
        ("cut", [True, False, False]),
        ("restore", [True, True, True]),
        ("power-off", [False, True, False]),
        ("power-on", [True, True, True]),
        ("reimage", [True, True, True]),
    ):
        result = edge_lab("fault", kind, "b", "--dir", lab.folder)
        assert result.exit_code == 0, result.output
        assert state() == expected, kind
    assert lab["b"].ssh("true").returncode == 0, "the new key of a reimaged host is not known"


def test_a_fault_of_all_hosts_is_one_command(edge_lab: Command, lab: Lab) -> None:
    assert edge_lab("fault", "power-off", "all", "--dir", lab.folder).exit_code == 0
    assert [host.pid for host in lab.hosts.values()] == [None, None, None]
    assert edge_lab("fault", "power-on", "all", "--dir", lab.folder).exit_code == 0
    assert all(host.ssh("true").returncode == 0 for host in lab.hosts.values())


def test_ssh_leaves_with_the_exit_code_of_the_command(lab: Lab) -> None:
    command = [sys.executable, "-m", "lab.cli", "ssh", "--dir", str(lab.folder), "a", "echo here; exit 7"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "here\n"), done.stderr


@needs_root
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fault", "cut", "nowhere"], "there is no host 'nowhere'"),
        (["ssh", "nowhere"], "there is no host 'nowhere'"),
        (["fault", "slow", "a"], "--delay-ms or --loss-percent"),
        (["fault", "skew", "a"], "--hours"),
        (["up", "Not_A_Name"], "host name 'Not_A_Name'"),
        (["up", "--name", "far-too-long-a-name"], "lab name 'far-too-long-a-name'"),
        (["up", "--subnet", "10.98.0.0/30"], "/16 to /24"),
        (["up", "--subnet", "8.8.8.0/24"], "private network"),
    ],
)
def test_what_cannot_be_asked_is_bad_input(edge_lab: Command, tmp_path: Path, arguments: list[str], said: str) -> None:
    command, *rest = arguments
    result = edge_lab(command, "--dir", tmp_path / "none", *rest)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "none").exists()


@needs_root
def test_a_subnet_in_use_is_refused_with_who_uses_it(edge_lab: Command, lab: Lab, other_lab: Lab) -> None:
    name = other_lab.layout.name
    result = edge_lab("up", "x", "--dir", other_lab.folder, "--name", name, "--subnet", lab.layout.subnet)
    assert result.exit_code == 1
    assert lab.layout.bridge in result.stderr
    assert "choose another subnet" in result.stderr


@needs_root
def test_a_missing_program_is_named_with_its_package(
    edge_lab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = edge_lab("up", "--dir", tmp_path / "none")
    assert result.exit_code == 1
    assert "apt install" in result.stderr
    assert "iproute2" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_root_there_is_one_clear_line(
    edge_lab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = edge_lab("up", "--dir", tmp_path / "none")
    assert result.exit_code == 1
    assert "as root" in result.stderr
    assert len(result.stderr.splitlines()) == 1
