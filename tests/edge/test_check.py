from __future__ import annotations

import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from edge.run import check
from edge.run.check import GraphProblem, SiteCheck, check_between, check_file, check_files, verdict
from edge.run.failure import OperationError
from edge.run.selection import selected
from sitefile.problems import Problem
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import site_files
from tests.edge.conftest import Project
from tests.edge.sites import SITES, broken_site, refused_site, site
from tests.state.renew import read_fixture


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    shutil.copy(SITES / "_defaults.yaml", tmp_path)
    return [site(tmp_path, f"shop-{number}") for number in range(6)] + [refused_site(tmp_path), broken_site(tmp_path)]


@pytest.mark.parametrize("file", site_files(), ids=lambda file: str(file.stem))
def test_every_site_of_the_project_passes(file: Path) -> None:
    found = check_file(file)
    assert (found.problems, found.graph, found.mandatory) == ((), (), ())
    assert found.resources > 20
    assert found.cost is not None


def test_a_broken_file_is_bad_input_with_all_that_is_wrong(tmp_path: Path) -> None:
    found = check_file(broken_site(tmp_path))
    assert found.code == 2
    assert {problem.path for problem in found.problems} == {"tier", "regions"}
    assert found.resources == 0


def test_a_mandatory_policy_fails_the_site_and_names_the_resource(tmp_path: Path) -> None:
    found = check_file(refused_site(tmp_path))
    assert found.code == 1
    assert {finding.rule for finding in found.mandatory} == {"supply-chain/registry-allowlist"}
    assert "refused-a-telemetry" in found.mandatory[0].urn


UNENCRYPTED = {"k3s": {"flannel_backend": "host-gw"}}
WAIVER = {"rule": "network/mtls-strict", "reason": "no WireGuard", "owner": "platform"}


def test_a_backend_without_encryption_needs_a_waiver(tmp_path: Path) -> None:
    found = check_file(site(tmp_path, "shop", UNENCRYPTED))
    assert found.code == 1
    assert [(finding.rule, finding.path) for finding in found.mandatory] == [("network/mtls-strict", "flannel_backend")]
    waived = check_file(site(tmp_path, "shop", {**UNENCRYPTED, "waivers": [{**WAIVER, "expires": "2999-12-31"}]}))
    assert (waived.code, waived.mandatory) == (0, ())
    assert [finding.waiver for finding in waived.waived] == ["until 2999-12-31 by platform: no WireGuard"]


def test_an_expired_waiver_fails_the_check_at_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = site(tmp_path, "shop", {**UNENCRYPTED, "waivers": [{**WAIVER, "expires": "2026-11-30"}]})
    monkeypatch.setattr(check, "today", lambda: date(2026, 11, 30))
    assert check_file(file).code == 0
    monkeypatch.setattr(check, "today", lambda: date(2026, 12, 1))
    found = check_file(file)
    assert found.code == 2
    (problem,) = found.problems
    assert (problem.path, problem.code) == ("waivers[0].expires", "waiver-expired")
    written = file.read_text().splitlines()[problem.line - 1]
    assert written[problem.column - 1 :] == "'2026-11-30'"
    assert problem.excerpt == written
    assert "platform" in problem.remedy


@pytest.mark.parametrize(
    ("change", "key", "written"),
    [
        ({}, "rule", "network/mtls-strict"),
        ({"k3s": {"flannel_backend": "host-gw"}, "resource": "another"}, "resource", "another"),
    ],
)
def test_a_waiver_that_covers_nothing_fails_the_check_at_its_line(
    tmp_path: Path, change: dict[str, Any], key: str, written: str
) -> None:
    k3s = {"k3s": change.pop("k3s")} if "k3s" in change else {}
    file = site(tmp_path, "shop", {**k3s, "waivers": [{**WAIVER, "expires": "2999-12-31", **change}]})
    found = check_file(file)
    assert found.code == 2
    (problem,) = found.problems
    assert (problem.path, problem.code) == (f"waivers[0].{key}", "waiver-unused")
    assert file.read_text().splitlines()[problem.line - 1][problem.column - 1 :] == written
    assert "covers nothing" in problem.what


def test_a_site_without_signed_commits_is_possible_with_a_waiver_and_only_with_one(tmp_path: Path) -> None:
    source = {"git": "https://git.example.com/edge.git", "branch": "main"}
    unsigned = {"gitops": {"kind": "flux", "source": source, "path": "./edge"}}
    found = check_file(site(tmp_path, "shop", unsigned))
    assert (found.code, {one.rule for one in found.mandatory}) == (1, {"supply-chain/flux-source-verified"})
    assert "needs a waiver of this rule" in found.mandatory[0].remedy
    waiver = {"rule": "supply-chain/flux-source-verified", "reason": "the forge cannot sign yet", "owner": "platform"}
    waived = check_file(site(tmp_path, "shop", {**unsigned, "waivers": [{**waiver, "expires": "2999-12-31"}]}))
    assert (waived.code, waived.problems, waived.mandatory) == (0, (), ())
    assert {one.waiver for one in waived.waived} == {"until 2999-12-31 by platform: the forge cannot sign yet"}


def test_a_waiver_is_shown_and_never_in_silence(project: Project) -> None:
    site(project.sites, "demo", {**UNENCRYPTED, "waivers": [{**WAIVER, "expires": "2999-12-31"}]})
    ran = project.edge("check", "demo")
    assert ran.code == 0
    assert "demo: waived network/mtls-strict" in ran.stdout
    assert "until 2999-12-31 by platform: no WireGuard" in ran.stdout
    assert project.edge("check", "demo", "--json").document["counts"]["waived"] == 1


def test_secrets_that_are_missing_are_named_and_no_fault(tmp_path: Path) -> None:
    found = check_file(site(tmp_path, "shop"))
    assert "k3s-token" in found.secrets_missing
    assert found.code == 0


def test_a_secret_in_plain_text_in_the_stacks_settings_is_refused(project: Project) -> None:
    (project.root / "Pulumi.demo.yaml").write_text("config:\n  edge:k3s-token: hunter2\n")
    found = check_file(project.sites / "demo.yaml", project.root)
    assert found.code == 1
    assert [problem.property for problem in found.graph] == ["Pulumi.demo.yaml: edge:k3s-token"]
    assert "hunter2" not in str(found)


def test_a_stack_whose_settings_name_another_site_is_refused_by_check_and_up(project: Project) -> None:
    (project.root / "Pulumi.demo.yaml").write_text("config:\n  edge:site: prod\n")
    found = check_file(project.sites / "demo.yaml", project.root)
    assert [problem.property for problem in found.graph] == ["Pulumi.demo.yaml: edge:site"]
    ran = project.edge("up", "demo", "--rehearse")
    assert ran.code == 2
    assert "edge:site in Pulumi.demo.yaml is `prod`" in ran.stderr
    (project.root / "Pulumi.demo.yaml").write_text("config:\n  edge:site: demo\n")
    assert check_file(project.sites / "demo.yaml", project.root).code == 0


def test_a_program_that_stops_is_a_finding_about_its_site(project: Project) -> None:
    with (project.root / "__main__.py").open("a") as program:
        program.write('raise RuntimeError("no such part\\nand more")\n')
    found = check_file(project.sites / "demo.yaml", project.root)
    assert found.code == 1
    assert [problem.reason for problem in found.graph] == ["the program stops: RuntimeError: no such part"]
    # The policies had nothing to judge: that does not look like nothing to say against.
    assert (found.judged, found.as_dict()["judged"]) == (False, False)
    row = next(line for line in project.edge("check", "demo").stdout.splitlines() if line.startswith("demo "))
    assert ("not run" in row, " ok " in row) == (True, False)


def test_a_program_that_builds_no_site_is_a_finding(project: Project) -> None:
    (project.root / "__main__.py").write_text("import pulumi\n")
    found = check_file(project.sites / "demo.yaml", project.root)
    assert found.code == 1
    assert [problem.property for problem in found.graph] == ["__main__.py"]


def undated(found: SiteCheck) -> dict[str, object]:
    return {**found.as_dict(), "duration_s": 0}


def test_processes_find_what_one_process_finds_in_the_same_order(files: list[Path]) -> None:
    alone = [undated(found) for found in check_files(files, PROJECT_ROOT, 1)]
    assert [undated(found) for found in check_files(files, PROJECT_ROOT, 2)] == alone
    assert [found["exit"] for found in alone] == [0, 0, 0, 0, 0, 0, 1, 2]


def test_a_process_that_crashes_is_the_result_of_its_site_and_the_others_are_checked(project: Project) -> None:
    with (project.root / "__main__.py").open("a") as program:
        program.write("import os, pulumi\nif pulumi.get_stack() == 'shop-1':\n    os.kill(os.getpid(), 9)\n")
    (project.sites / "demo.yaml").unlink()
    for number in range(4):
        site(project.sites, f"shop-{number}")
    ran = project.edge("check", "--jobs", 2, "--json")
    assert ran.code == 1
    assert [one["exit"] for one in ran.document["sites"]] == [0, 1, 0, 0]
    assert "killed" in ran.document["sites"][1]["graph"][0]["reason"]


def test_two_files_with_one_site_id_clash(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    found = [check_file(site(tmp_path / folder, "shop")) for folder in ("one", "two")]
    assert [problem.code for problem in check_between(found)] == ["duplicate-site"]


def test_two_sites_that_advertise_one_network_clash(tmp_path: Path) -> None:
    mesh = {"kind": "tailscale", "tags": ["shop"], "advertise_routes": ["10.99.0.0/24"]}
    found = [check_file(site(tmp_path, name, {"mesh": mesh})) for name in ("shop-1", "shop-2")]
    assert [problem.code for problem in check_between(found)] == ["overlapping-routes"]


def test_sites_that_share_nothing_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [check_file(site(tmp_path, name)) for name in ("shop-1", "shop-2")]
    monkeypatch.setattr("edge.run.check._files", lambda *_: pytest.fail("read again"))
    assert check_between(found) == ()


def test_the_verdict_tells_bad_files_from_refused_sites() -> None:
    good = SiteCheck("a", Path("a.yaml"))
    refused = SiteCheck("b", Path("b.yaml"), graph=(GraphProblem("", "x", "is wrong"),))
    bad = SiteCheck("c", Path("c.yaml"), problems=(Problem(Path("c.yaml"), 1, 1, "", "what", "", ""),))
    assert verdict([good]) == "1 site: all good"
    assert verdict([good, refused]) == "2 sites: 1 refused by policies or providers"
    assert verdict([good, refused, bad]).startswith("3 sites: 1 with errors in the file, 1 refused")


def test_all_sites_are_meant_when_none_is_named() -> None:
    assert selected([], PROJECT_ROOT) == site_files()


def test_ids_paths_and_folders_may_be_mixed_and_each_file_counts_once(tmp_path: Path) -> None:
    one, two = site(tmp_path, "shop-1"), site(tmp_path, "shop-2")
    assert selected(["demo", str(one), str(tmp_path)], PROJECT_ROOT) == [SITES / "demo.yaml", one, two]


def test_an_unknown_site_is_bad_input_with_the_one_that_was_meant() -> None:
    with pytest.raises(OperationError, match="did you mean `demo`") as error:
        selected(["demmo"], PROJECT_ROOT)
    assert error.value.code == 2


@pytest.mark.parametrize("name", ["nowhere/x.yaml", "x.yaml", "."])
def test_a_path_without_a_site_is_bad_input(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OperationError) as error:
        selected([name], PROJECT_ROOT)
    assert error.value.code == 2


@pytest.fixture
def fleet(project: Project) -> Project:
    """A project with a fleet file."""
    (project.root / "stacks" / "fleet.yaml").write_text(
        "tailnet:\n  id: acme.example.com\n  operators: [ops@acme.example.com]\n"
    )
    return project


def test_the_fleet_file_is_checked_with_all_sites_and_its_resources_are_recorded(fleet: Project) -> None:
    ran = fleet.edge("check", "--json")
    document = ran.document
    assert (ran.code, document["fleet"]["exit"], document["fleet"]["problems"]) == (0, 0, [])
    assert document["fleet"]["resources"] == 3, "the component, its provider and the tailnet's policy file"
    assert document["counts"]["resources"] == document["sites"][0]["resources"] + 3
    assert [one["site"] for one in document["sites"]] == ["demo"]


def test_the_fleet_can_be_checked_alone_and_is_left_out_where_sites_are_named(fleet: Project) -> None:
    alone = fleet.edge("check", "fleet", "--json").document
    assert (alone["sites"], alone["fleet"]["site"]) == ([], "fleet")
    assert fleet.edge("check", fleet.sites / "demo.yaml", "--json").document["fleet"] is None
    assert "1 site and the fleet: all good" in fleet.edge("check").stdout


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("tailnett:\n  id: acme.example.com\n", 1, "did you mean `tailnet`"),
        ("tailnet:\n  id: acme.example.com\n  operators: 7\n", 3, "7"),
        ('aws_account_id: "123456789012"\nzone_groups:\n  - {region: 4, group: us-west-2-lax-1}\n', 3, "4"),
    ],
    ids=["unknown key", "wrong type", "wrong type in a list"],
)
def test_an_error_in_the_fleet_file_is_bad_input_with_its_position(
    fleet: Project, text: str, line: int, says: str
) -> None:
    (fleet.root / "stacks" / "fleet.yaml").write_text(text)
    ran = fleet.edge("check")
    assert ran.code == 2
    (found,) = [one for one in ran.stdout.splitlines() if one.startswith("stacks/fleet.yaml:")]
    assert found.startswith(f"stacks/fleet.yaml:{line}:")
    assert says in ran.stdout
    document = fleet.edge("check", "--json").document
    assert document["exit"] == 2
    assert document["fleet"]["problems"][0]["line"] == line
    assert document["sites"][0]["exit"] == 0, "the sites are checked nevertheless"


def test_an_error_in_a_site_is_shown_once_though_the_fleet_is_built_from_it_too(fleet: Project) -> None:
    broken_site(fleet.sites)
    ran = fleet.edge("check")
    assert ran.code == 2
    assert len([one for one in ran.stdout.splitlines() if one.startswith("stacks/sites/broken.yaml:2:")]) == 1


def test_a_policy_judges_the_fleets_resources_too(fleet: Project) -> None:
    with (fleet.root / "__main__.py").open("a") as program:
        program.write(
            "import pulumi_command as command\n"
            "command.local.Command('fetch', create='curl https://get.example.com | sh')\n"
        )
    document = fleet.edge("check", "fleet", "--json").document
    assert document["exit"] == 1
    assert {found["rule"] for found in document["fleet"]["policies"] if found["level"] == "mandatory"} == {
        "supply-chain/host-binary-checksum"
    }


def _git(project: Project, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments],
        cwd=project.root,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def committed(project: Project) -> Project:
    """The demo site, under version control."""
    profiles = project.root / "stacks" / "profiles"
    profiles.unlink()
    shutil.copytree(PROJECT_ROOT / "stacks" / "profiles", profiles)
    _git(project, "init", "--quiet")
    _git(project, "add", "--all")
    _git(project, "commit", "--quiet", "--message", "a site")
    return project


def test_an_edit_is_compared_with_a_revision_and_said_first(committed: Project) -> None:
    committed.change("demo", lambda site: site["hosts"][0].update(name="z"))
    ran = committed.edge("check", "demo", "--against", "HEAD")
    assert ran.code == 1
    assert "cannot work  z:" in ran.stdout.splitlines()[1]
    document = committed.edge("check", "demo", "--against", "HEAD", "--json").document
    assert [one["edit"] for one in document["sites"][0]["consequences"]] == ["host-renamed"]


def test_a_site_under_another_name_is_known_by_its_hosts(committed: Project) -> None:
    content = (committed.sites / "demo.yaml").read_text()
    (committed.sites / "demo.yaml").unlink()
    (committed.sites / "shop.yaml").write_text(content.replace("site: demo", "site: shop"))
    document = committed.edge("check", "shop", "--against", "HEAD", "--json").document
    assert "site-renamed" in {one["edit"] for one in document["sites"][0]["consequences"]}


def test_an_edit_is_compared_with_an_exported_state(committed: Project, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text(read_fixture("demo"))
    committed.change("demo", lambda site: site["k3s"].update(pod_cidr="10.44.0.0/16"))
    ran = committed.edge("check", "demo", "--against", state, "--json")
    assert ran.code == 1
    assert [one["edit"] for one in ran.document["sites"][0]["consequences"]] == [
        "k3s-network-changed",
        # The state is of a release without it.
        "flux-locked-down",
    ]


@pytest.mark.parametrize("text", ["{}", "no state", '{"deployment": 1}', "[]"])
def test_what_is_no_state_and_no_revision_is_bad_input(committed: Project, tmp_path: Path, text: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(text)
    assert committed.edge("check", "demo", "--against", file).code == 2
    assert committed.edge("check", "demo", "--against", "--output=x").code == 2
    assert committed.edge("check", "demo", "--against", "no-such-revision").code == 2


def test_a_site_that_is_not_edited_has_no_consequences(committed: Project) -> None:
    ran = committed.edge("check", "demo", "--against", "HEAD", "--json")
    assert (ran.code, ran.document["sites"][0]["consequences"]) == (0, [])


@pytest.fixture
def own_profiles(project: Project) -> Path:
    """Profiles of the project's own, to be changed."""
    folder = project.root / "stacks" / "profiles"
    folder.unlink()
    shutil.copytree(PROJECT_ROOT / "stacks" / "profiles", folder)
    return folder


def test_a_broken_profile_is_told_once_and_fails_the_sites_that_use_it_only(
    project: Project, own_profiles: Path
) -> None:
    profile = own_profiles / "hardware" / "qcs8550.yaml"
    profile.write_text(profile.read_text().replace("tpm: true", "tpm: maybe"))
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGLVgaJAOGhtc48BrSKcDHXmjHm6Wq/lcsXGBqzuYab1"
    host = {"name": "a", "hardware": "qcs8550", "address": "10.99.0.11", "host_key": key}
    site(project.sites, "shop", {"hosts": [host], "inference": None})
    ran = project.edge("check", "--json")
    assert ran.code == 2
    assert [problem["file"] for problem in ran.document["problems"]] == ["stacks/profiles/hardware/qcs8550.yaml"]
    exits = {found["site"]: found["exit"] for found in ran.document["sites"]}
    assert exits == {"demo": 0, "shop": 2}
    (problem,) = next(found["problems"] for found in ran.document["sites"] if found["site"] == "shop")
    assert "stacks/profiles/hardware/qcs8550.yaml:" in problem["what"]
    said = project.edge("check")
    assert said.stdout.count("`tpm` is the text `maybe`") == 2
    assert "1 error in what sites share" in said.stdout
    assert "Traceback" not in said.stdout + said.stderr
    assert "defect" not in said.stdout + said.stderr


def test_a_file_with_another_suffix_is_told_and_not_ignored(project: Project) -> None:
    shutil.copy(project.sites / "demo.yaml", project.sites / "shop.yml")
    ran = project.edge("check", "--json")
    assert ran.code == 2
    assert [problem["code"] for problem in ran.document["problems"]] == ["suffix"]


def test_advice_has_a_position_and_refuses_nothing(project: Project) -> None:
    waiver = {"rule": "host/disk-encrypted", "reason": "a bench", "owner": "platform", "expires": "2999-01-01"}
    project.change("demo", lambda content: content.update(os={"disk": "none"}, waivers=[waiver]))
    ran = project.edge("check", "demo", "--json")
    (found,) = ran.document["sites"]
    assert (ran.code, found["exit"]) == (0, 0)
    assert [finding["rule"] for finding in found["policies"] if finding["level"] == "waived"] == [waiver["rule"]]
    assert [advice["path"] for advice in found["advice"]] == ["os.disk"]
    assert found["advice"][0]["line"] > 1
    assert ran.document["counts"]["advisory"] >= 1
    assert "advice stacks/sites/demo.yaml:" in project.edge("check", "demo").stdout


def test_wrong_settings_of_the_policies_are_bad_input_and_told_once(project: Project) -> None:
    shutil.copytree(PROJECT_ROOT / "policies", project.root / "policies")
    (project.root / "policies" / "config.json").write_text('{"edge-network": {}}', encoding="utf-8")
    ran = project.edge("check", "demo")
    assert ran.code == 2
    assert ran.stderr.count("config.json:1:2: edge-network is not a policy of this pack") == 1
