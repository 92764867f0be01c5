"""What setup puts into the virtual environment, and that it never stands before an official language host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engine.obtain import cli, setup, shim
from engine.obtain.pin import PULUMI_VERSION, EngineError
from tests.engine.conftest import Machine, write_executable


@pytest.fixture(autouse=True)
def a_virtual_environment(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.base_prefix", str(machine.root / "python"))


def test_without_an_official_host_the_executable_itself_and_the_thin_host_are_installed(machine: Machine) -> None:
    source = machine.pulumi("usr", PULUMI_VERSION)
    assert setup.main() == 0
    installed = machine.venv_bin / "pulumi"
    assert not installed.is_symlink(), "the engine looks for plugins beside the file that a link points to"
    assert installed.read_bytes() == source.read_bytes()
    assert shim.is_our_shim(machine.venv_bin / shim.HOST)
    assert os.access(machine.venv_bin / shim.HOST, os.X_OK)


@pytest.mark.parametrize("where", ["usr", "elsewhere-on-path"])
def test_with_an_official_host_pulumi_is_linked_to_and_no_host_is_installed(machine: Machine, where: str) -> None:
    source = machine.pulumi("usr", PULUMI_VERSION)
    machine.official_host(where)
    assert setup.main() == 0
    assert (machine.venv_bin / "pulumi").readlink() == source
    assert not (machine.venv_bin / shim.HOST).exists()


def test_an_official_host_that_appears_later_replaces_ours(machine: Machine) -> None:
    machine.pulumi("usr", PULUMI_VERSION)
    assert setup.main() == 0
    machine.official_host("usr")
    assert setup.main() == 0
    assert not (machine.venv_bin / shim.HOST).exists()
    assert (machine.venv_bin / "pulumi").is_symlink()


def test_ours_comes_back_when_the_official_host_goes(machine: Machine) -> None:
    machine.pulumi("usr", PULUMI_VERSION)
    official = machine.official_host("usr")
    assert setup.main() == 0
    official.unlink()
    assert setup.main() == 0
    assert shim.is_our_shim(machine.venv_bin / shim.HOST)


def test_an_official_host_inside_the_environment_is_left_alone(machine: Machine) -> None:
    machine.pulumi("usr", PULUMI_VERSION)
    official = write_executable(machine.venv_bin / shim.HOST, "#!/bin/sh\necho official\n")
    assert setup.main() == 0
    assert "official" in official.read_text()


def test_a_second_setup_changes_nothing_and_asks_no_executable(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.pulumi("usr", PULUMI_VERSION)
    assert setup.main() == 0
    before = {path.name: path.stat().st_mtime_ns for path in machine.venv_bin.iterdir()}
    capsys.readouterr()

    def never(executable: Path) -> str:
        raise AssertionError("setup is fast when it is done")

    monkeypatch.setattr(cli, "version_of", never)
    assert setup.main() == 0
    assert {path.name: path.stat().st_mtime_ns for path in machine.venv_bin.iterdir()} == before
    assert capsys.readouterr().err == ""


def test_what_setup_installed_is_what_locate_finds(machine: Machine) -> None:
    machine.pulumi("usr", "3.990.0")
    assert setup.main() == 0
    found = cli.locate()
    assert (found.path, found.version, found.origin) == (machine.venv_bin / "pulumi", "3.990.0", "path")


def test_an_upgrade_of_a_linked_pulumi_is_noticed(machine: Machine) -> None:
    machine.official_host("usr")
    machine.pulumi("usr", PULUMI_VERSION)
    assert setup.main() == 0
    machine.pulumi("usr", "3.990.10")
    assert setup.main() == 0
    assert cli.locate().version == "3.990.10"


def test_a_linked_pulumi_that_is_uninstalled_is_not_found_any_more(machine: Machine) -> None:
    machine.official_host("usr")
    source = machine.pulumi("usr", PULUMI_VERSION)
    assert setup.main() == 0
    source.unlink()
    with pytest.raises(EngineError):
        cli.locate()


def test_a_forced_origin_replaces_what_is_installed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.pulumi("usr", PULUMI_VERSION)
    assert setup.main() == 0
    machine.go()
    monkeypatch.setenv("EDGE_PULUMI", "build")
    assert setup.main() == 0
    assert cli.locate().origin == "go-build"


def test_setup_without_any_cli_ends_1_with_the_reasons_and_no_trace(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert setup.main() == 1
    said = capsys.readouterr().err
    assert "could not be obtained" in said
    assert "Traceback" not in said


def test_setup_refuses_to_install_outside_a_virtual_environment(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.base_prefix", str(machine.root / "venv"))
    assert setup.main() == 1
    assert "make setup" in capsys.readouterr().err


def test_the_thin_host_is_started_by_the_python_beside_it(machine: Machine) -> None:
    machine.pulumi("usr", PULUMI_VERSION)
    assert setup.main() == 0
    write_executable(machine.venv_bin / "python", '#!/bin/sh\necho "$@"\n')
    said = subprocess.check_output([machine.venv_bin / shim.HOST, "127.0.0.1:1"], cwd=machine.root, text=True)
    assert said.split() == ["-P", "-m", "engine.stand_in.language_host", "127.0.0.1:1"]


def test_a_pulumi_without_a_language_host_is_told_before_the_engine_asks_for_a_plugin(machine: Machine) -> None:
    source = machine.pulumi("usr", PULUMI_VERSION)
    installed = machine.venv_bin / "pulumi"
    with pytest.raises(EngineError, match=r"runs no Python[^\n]*\nRun `edge setup`"):
        shim.require_host(source, installed)
    assert setup.main() == 0
    shim.require_host(source, installed)


def test_a_pulumi_with_an_official_language_host_is_taken_without_setup(machine: Machine) -> None:
    source = machine.pulumi("usr", PULUMI_VERSION)
    machine.official_host("usr")
    shim.require_host(source, machine.venv_bin / "pulumi")


def test_the_thin_host_of_another_environment_is_none_of_this_one(machine: Machine) -> None:
    """A run does not use it, and `edge doctor` asks the same function."""
    source, installed = machine.pulumi("usr", PULUMI_VERSION), machine.venv_bin / "pulumi"
    write_executable(source.parent / shim.HOST, shim.SHIM)
    assert shim.language_host(source, installed) is None
    assert setup.main() == 0
    assert shim.language_host(source, installed) == machine.venv_bin / shim.HOST
