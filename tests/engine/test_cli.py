"""Which Pulumi CLI is taken, in which order, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.obtain import cli, download, go_build
from engine.obtain.cli import PulumiCli
from engine.obtain.pin import PULUMI_VERSION, EngineError
from tests.engine.conftest import WANTED_GO, Machine, Publisher, write_executable


def _whole_installation(root: Path) -> None:
    write_executable(root / "pulumi", f"#!/bin/sh\necho v{PULUMI_VERSION}\n")


@pytest.mark.parametrize("version", [PULUMI_VERSION, f"v{PULUMI_VERSION}", "3.990.1", "3.301.0"])
def test_the_pinned_version_and_newer_ones_of_its_major_are_good_enough(version: str) -> None:
    assert cli.good_enough(version)


@pytest.mark.parametrize("version", ["3.249.9", "2.999.0", "4.0.0", f"{PULUMI_VERSION}-alpha.1", "", "unknown"])
def test_older_ones_other_majors_and_unreadable_versions_are_not(version: str) -> None:
    assert not cli.good_enough(version)


def test_a_new_enough_pulumi_on_path_is_taken(machine: Machine) -> None:
    path = machine.pulumi("usr", "3.990.0")
    assert cli.locate() == PulumiCli(path=path, version="3.990.0", origin="path")


def test_an_old_pulumi_earlier_on_path_does_not_hide_a_new_one(machine: Machine) -> None:
    machine.pulumi("old", "3.100.0")
    new = machine.pulumi("new", PULUMI_VERSION)
    assert cli.locate().path == new


def test_a_pulumi_that_does_not_run_is_passed_over(machine: Machine) -> None:
    write_executable(machine.on_path("broken") / "pulumi", "#!/bin/sh\nexit 1\n")
    good = machine.pulumi("good", PULUMI_VERSION)
    assert cli.locate().path == good


def test_the_environments_own_bin_is_not_taken_for_the_users_path(machine: Machine) -> None:
    write_executable(machine.venv_bin / "pulumi", f"#!/bin/sh\necho v{PULUMI_VERSION}\n")
    with pytest.raises(EngineError):
        cli.locate()


def test_a_cached_download_is_preferred_to_a_cached_build(machine: Machine) -> None:
    write_executable(go_build.cached_path(), "")
    assert cli.locate().origin == "go-build"
    write_executable(download.cached_path(), "")
    assert cli.locate() == PulumiCli(path=download.cached_path(), version=PULUMI_VERSION, origin="download")


@pytest.mark.parametrize("at_hand", ["path", "download", "build"])
def test_nothing_is_downloaded_or_built_when_one_is_at_hand(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, at_hand: str
) -> None:
    def never() -> Path:
        raise AssertionError("there was one at hand")

    if at_hand == "path":
        machine.pulumi("usr", PULUMI_VERSION)
    else:
        write_executable(download.cached_path() if at_hand == "download" else go_build.cached_path(), "")
    monkeypatch.setattr(download, "fetch", never)
    monkeypatch.setattr(go_build, "build", never)
    assert cli.obtain().origin == {"build": "go-build"}.get(at_hand, at_hand)


def test_the_official_download_comes_before_a_build(machine: Machine, publisher: Publisher) -> None:
    machine.go()
    publisher.pins_one(publisher.publishes(_whole_installation))
    assert cli.obtain() == PulumiCli(path=download.cached_path(), version=PULUMI_VERSION, origin="download")


def test_a_download_that_fails_falls_through_to_the_build(machine: Machine, publisher: Publisher) -> None:
    machine.go()
    publisher.publishes(_whole_installation)
    publisher.pins_one("0" * 64)
    assert cli.obtain() == PulumiCli(path=go_build.cached_path(), version=PULUMI_VERSION, origin="go-build")
    assert not download.cached_path().parents[1].exists(), "a failed download must not look like a cached one"


def test_without_network_and_go_one_error_names_all_three_ways_and_the_remedy(machine: Machine) -> None:
    machine.pulumi("old", "3.100.0")
    with pytest.raises(EngineError) as raised:
        cli.obtain()
    message = str(raised.value)
    assert f"3.100.0; needed is {PULUMI_VERSION} or newer" in message
    assert "the official download cannot be reached" in message
    assert f"go >= {WANTED_GO} not found on PATH" in message
    assert "edge setup" in message.splitlines()[-1]


def test_locate_without_a_cli_sends_to_make_setup(machine: Machine) -> None:
    with pytest.raises(EngineError, match="no `pulumi` on PATH\nRun `edge setup`"):
        cli.locate()


@pytest.mark.parametrize(("forced", "origin"), [("path", "path"), ("download", "download"), ("build", "go-build")])
def test_edge_pulumi_allows_one_origin_only(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, forced: str, origin: str
) -> None:
    machine.pulumi("usr", "3.990.0")
    write_executable(download.cached_path(), "")
    write_executable(go_build.cached_path(), "")
    monkeypatch.setenv("EDGE_PULUMI", forced)
    assert cli.locate().origin == origin


def test_an_unknown_edge_pulumi_is_refused_with_what_it_may_be(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_PULUMI", "official")
    with pytest.raises(EngineError, match="it may be path, download or build"):
        cli.locate()


def test_the_automation_command_runs_the_located_executable_without_asking_its_version(tmp_path: Path) -> None:
    command = cli.automation_command(PulumiCli(path=tmp_path / "absent" / "pulumi", version="3.251.0", origin="path"))
    assert command.command == str(tmp_path / "absent" / "pulumi")
    assert str(command.version) == "3.251.0"
