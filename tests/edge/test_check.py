from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.run.check import GraphProblem, SiteCheck, check_between, check_file, check_files, verdict
from edge.run.failure import OperationError
from edge.run.selection import selected
from sitefile.problems import Problem
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import site_files
from tests.edge.conftest import Project
from tests.edge.sites import SITES, broken_site, refused_site, site


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
