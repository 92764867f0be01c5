from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

from edge.run import pool as crew
from edge.run.check import GraphProblem, SiteCheck, check_between, check_file, verdict
from edge.run.failure import OperationError
from edge.run.selection import selected
from edge.run.stack_settings import NAMESPACE, placeholders
from engine.rehearsal.in_process import Recording, record
from engine.rehearsal.world import World
from sitefile.problems import Problem
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site, site_files
from stacks.program import program
from stacks.site import SiteSpec
from tests.edge.sites import SITES, broken_site, refused_site, site


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    shutil.copy(SITES / "_defaults.yaml", tmp_path)
    return [site(tmp_path, f"shop-{number}") for number in range(6)] + [refused_site(tmp_path), broken_site(tmp_path)]


def recorded(spec: SiteSpec, run: object) -> Recording:
    config = {NAMESPACE + key: value for key, value in placeholders(spec).items()} | {"edge:site": spec.site}
    world = World.of(spec.model_dump(mode="json"))
    assert callable(run)
    return record(run, project="edge", stack=spec.site, config=config, secret_keys=set(config), world=world)


@pytest.mark.parametrize("name", ["demo", "outpost-seattle"])
def test_what_is_checked_is_what_the_pulumi_program_makes(name: str) -> None:
    spec = load_site(name)
    ours = recorded(spec, program(spec))
    real = recorded(spec, lambda: runpy.run_path(str(PROJECT_ROOT / "__main__.py"), run_name="__main__"))
    # In which order independent resources are registered is up to the event loop.
    assert {resource.urn: resource for resource in ours.resources} == {r.urn: r for r in real.resources}
    assert (ours.outputs, ours.problems) == (real.outputs, real.problems)


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


def test_a_secret_in_plain_text_in_the_stacks_settings_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "stacks").mkdir(parents=True)
    for part in ("profiles", "sites"):
        (root / "stacks" / part).symlink_to(PROJECT_ROOT / "stacks" / part)
    (root / "Pulumi.demo.yaml").write_text("config:\n  edge:k3s-token: hunter2\n")
    found = check_file(root / "stacks" / "sites" / "demo.yaml", root)
    assert found.code == 1
    assert [problem.property for problem in found.graph] == ["Pulumi.demo.yaml: edge:k3s-token"]
    assert "hunter2" not in str(found)


def test_a_program_that_stops_is_a_finding_about_its_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_spec: SiteSpec) -> object:
        def run() -> None:
            raise RuntimeError("no such part\nand more")

        return run

    monkeypatch.setattr("edge.run.check.program", broken)
    found = check_file(site(tmp_path, "shop"))
    assert found.code == 1
    assert [problem.reason for problem in found.graph] == ["the program stops: RuntimeError: no such part"]


def undated(found: SiteCheck) -> dict[str, object]:
    return {**found.as_dict(), "duration_s": 0}


@pytest.mark.parametrize("fork", [True, False], ids=["forked", "spawned"])
def test_processes_find_what_one_process_finds_in_the_same_order(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, fork: bool
) -> None:
    alone = [undated(found) for found in crew.check_files(files, PROJECT_ROOT, 1)]
    monkeypatch.setattr(crew, "_may_fork", lambda: fork)
    assert [undated(found) for found in crew.check_files(files, PROJECT_ROOT, 2)] == alone
    assert [found["exit"] for found in alone] == [0, 0, 0, 0, 0, 0, 1, 2]


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
