from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.hosts import doctor
from edge.hosts.doctor_item import Item
from engine.environment import backend_of
from engine.obtain.cli import PulumiCli
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site
from stacks.site import SiteSpec
from tests.edge.conftest import Project

OTHER_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAICMDG5mYH6DKcIxsTNiv6jJJ4Iq5bZ3kkDuaGIAAsXWo"


@pytest.fixture(scope="module")
def demo() -> SiteSpec:
    return load_site("demo")


def answers(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Makes every host answer a key scan with ``lines``."""
    scan = folder / "ssh-keyscan"
    scan.write_text("#!/bin/bash\n" + "".join(f"echo '{line}'\n" for line in lines))
    scan.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def host_item(spec: SiteSpec) -> Item:
    (found,) = doctor._hosts(spec)
    return found


def test_a_host_with_the_key_of_its_file_is_well(
    demo: SiteSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(tmp_path, monkeypatch, "# banner", f"10.10.0.11 {demo.hosts[0].host_key}")
    assert host_item(demo).status == "ok"


def test_a_host_with_another_key_is_not_to_be_trusted(
    demo: SiteSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(tmp_path, monkeypatch, f"10.10.0.11 ssh-ed25519 {OTHER_KEY}")
    assert host_item(demo).status == "broken"
    assert "another ssh-ed25519 host key" in host_item(demo).detail


def test_a_host_without_a_key_of_that_kind_says_which_it_has(
    demo: SiteSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(tmp_path, monkeypatch, "10.10.0.11 ssh-rsa AAAAB3NzaC1yc2E")
    assert "ssh-rsa" in host_item(demo).remedy


def test_a_host_that_does_not_answer_is_broken(demo: SiteSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(tmp_path, monkeypatch)
    assert host_item(demo).status == "broken"
    assert "10.10.0.11:22" in host_item(demo).detail


def test_a_host_behind_another_one_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(tmp_path, monkeypatch)
    found = {item.name: item for item in doctor._hosts(load_site("shelf-lyon"))}
    assert found["shelf-lyon-sensors"].status == "note"
    assert "jetson" in found["shelf-lyon-sensors"].detail


def test_a_missing_plugin_is_broken_and_says_who_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path))
    found = doctor._plugin("command", ["a", "b", "c", "d"], "1.2.1")
    assert found.status == "broken"
    assert "needed by a, b, c and 1 more" in found.detail
    assert found.remedy == "pulumi plugin install resource command 1.2.1"


@pytest.mark.parametrize(("there", "status"), [("1.2.1", "ok"), ("1.0.0", "note")])
def test_an_installed_plugin_should_be_the_sdks_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, status: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path))
    (tmp_path / "plugins" / f"resource-command-v{there}").mkdir(parents=True)
    assert doctor._plugin("command", ["a"], "1.2.1").status == status


def test_a_plugin_on_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = tmp_path / "pulumi-resource-command"
    plugin.write_text("#!/bin/sh\n")
    plugin.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(plugin) in doctor._plugin("command", ["a"], "1.2.1").detail


def test_the_plugins_looked_for_are_those_of_the_sites_resources(demo: SiteSpec) -> None:
    assert doctor._providers(demo, PROJECT_ROOT) == {"command", "kubernetes"}


def test_credentials_in_a_backends_address_are_not_shown() -> None:
    assert backend_of({"PULUMI_BACKEND_URL": "s3://key:secret@bucket/path?region=x"}) == "s3://bucket/path"


def test_what_is_missing_for_a_real_run_makes_doctor_fail(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_hosts", lambda _: [])
    ran = project.edge("doctor", "demo", "--json")
    broken = {item["name"] for item in ran.document["items"] if item["status"] == "broken"}
    assert ran.code == ran.document["exit"] == 1
    assert {"k3s-token", "encryption"} <= broken


def test_doctor_for_people_ends_with_the_verdict(project: Project) -> None:
    ran = project.edge("doctor")
    assert "would stop a real run" in ran.stdout.splitlines()[-1] or "ready" in ran.stdout.splitlines()[-1]


@pytest.mark.parametrize(("query", "status"), [("", "note"), ("?metadata=skip", "ok")])
def test_a_state_folder_that_a_killed_run_can_spoil_is_noted(tmp_path: Path, query: str, status: str) -> None:
    cli = PulumiCli(tmp_path / "pulumi", "3.990.0", "path")
    found = doctor._backend(cli, {"PULUMI_BACKEND_URL": f"file://{tmp_path}{query}"}, tmp_path)
    assert found.status == status
    assert ("a killed run can leave it unreadable" in found.detail) == (status == "note")
    assert "metadata=skip" in found.remedy


def test_the_folder_that_edge_chose_is_told_to_plain_pulumi(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend() -> dict[str, str]:
        item: dict[str, str]
        (item,) = (one for one in project.edge("doctor", "--json").document["items"] if one["subject"] == "backend")
        return item

    assert f"export PULUMI_BACKEND_URL='file://{project.root}/.edge/state?metadata=skip'" in backend()["remedy"]
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{project.root}?metadata=skip")
    assert backend()["remedy"] == ""


def tool(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> None:
    """A command-line tool of a cloud, which keeps what it was asked."""
    program = folder / name
    program.write_text(f'#!/bin/bash\necho "$0 $*" >>{folder}/asked\n{body}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def clouds(site: str) -> dict[str, Item]:
    return {item.name: item for item in doctor._clouds(load_site(site))}


def test_resource_providers_are_asked_for_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(
        tmp_path,
        monkeypatch,
        "az",
        '[[ "$*" == *Microsoft.ExtendedLocation* ]] && echo NotRegistered || echo Registered',
    )
    found = clouds("prod")
    assert found["Azure provider Microsoft.Kubernetes"].status == "ok"
    missing = found["Azure provider Microsoft.ExtendedLocation"]
    assert (missing.status, missing.detail.split(":")[0]) == ("broken", "NotRegistered, not Registered")
    assert missing.remedy.startswith("az provider register --namespace Microsoft.ExtendedLocation")
    assert found["role at edge-eu"].status == "note"
    assert all(" provider show " in line for line in (tmp_path / "asked").read_text().splitlines())


def test_a_cloud_that_cannot_be_asked_is_unknown_and_not_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, monkeypatch, "az", "echo 'ERROR: Please run az login to setup account.' >&2; exit 1")
    assert {item.status for item in clouds("prod").values()} == {"note"}
    assert "Please run az login" in clouds("prod")["Azure provider Microsoft.Kubernetes"].detail
    monkeypatch.setenv("PATH", "/nowhere")
    assert "az is not installed here" in clouds("prod")["Azure provider Microsoft.Kubernetes"].detail


def test_another_aws_account_than_the_sites_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, monkeypatch, "aws", "echo 210987654321")
    (item,) = clouds("outpost-seattle").values()
    assert (item.status, item.detail) == (
        "broken",
        "210987654321, not 123456789012: everything is made in this account",
    )
