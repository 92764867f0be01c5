"""`--changed-since REF`: the sites whose plan differs, whichever file made it differ, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.commands import several
from edge.run import changed, check, revision
from edge.run.overview import overview
from edge.run.program import recorded
from edge.run.program_at import program_of
from stacks.site import SiteSpec
from tests.edge.clones import Clone

OWN = ("demo", "prod", "tower-oslo")


def changed_sites(clone: Clone) -> set[str]:
    """The sites that have changed, as a command that takes the option sees them."""
    ran = clone.edge("check", *OWN, "--changed-since", "HEAD", "--json")
    names = {one["site"] for one in json.loads(ran.stdout)["sites"]}
    line = next(line for line in ran.stderr.splitlines() if "have another plan" in line)
    assert line.startswith(f"{len(names)} of 3 sites have another plan than at HEAD (")
    return names


def test_equal_trees_end_at_once_and_no_plan_is_made(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed, "_plans", lambda *_: pytest.fail("a plan was made"))
    files = [clone.root / "stacks" / "sites" / f"{name}.yaml" for name in OWN]
    assert changed.changed_since("HEAD", files, clone.root).files == []
    # Nothing of this is part of a plan.
    for path in ("README.md", "docs/operations.md", "policies/pack.py"):
        (clone.root / path).write_text((clone.root / path).read_text() + "\n# more\n")
    assert changed.changed_since("HEAD", files, clone.root).files == []


def test_a_site_is_changed_when_its_plan_is_and_not_when_its_file_is(clone: Clone) -> None:
    demo = clone.root / "stacks" / "sites" / "demo.yaml"
    demo.write_text(f"# a comment\n{demo.read_text()}")
    clone.replace("stacks/sites/prod.yaml", "10.20.0.12", "10.20.0.22")
    out = clone.root.parent / "out"
    ran = clone.edge("render", *OWN, "--changed-since", "HEAD", "--out", str(out))
    assert ran.returncode == 0, ran.stderr
    assert [folder.name for folder in out.iterdir()] == ["prod"]


def test_a_comment_in_the_program_changes_no_site_and_a_script_those_that_run_it(clone: Clone) -> None:
    clone.replace("components/telemetry/component.py", "from __future__", "# a comment\nfrom __future__")
    assert changed_sites(clone) == set()
    clone.replace("components/host/base.sh.j2", "put_file", "# of another release\nput_file")
    assert changed_sites(clone) == set(OWN)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("stacks/program_defaults.yaml", "chart_version: 1.33.0", "chart_version: 1.33.1"),
        ("components/registration/arc/component.py", '_CLUSTER_TIMEOUT = "20m"', '_CLUSTER_TIMEOUT = "21m"'),
    ],
    ids=["a default", "a component"],
)
def test_a_default_and_a_component_change_exactly_the_sites_that_use_them(
    clone: Clone, file: str, old: str, new: str
) -> None:
    clone.replace(file, old, new)
    # Of the three, only this one is registered with Arc.
    assert changed_sites(clone) == {"prod"}


def test_a_change_of_a_group_is_a_change_of_its_sites(clone: Clone) -> None:
    group = clone.root / "stacks" / "groups" / "acme.yaml"
    group.write_text("description: x\ndefaults: {labels: {customer: acme}}\n")
    clone.replace("stacks/sites/demo.yaml", "tier: near", "tier: near\ngroups: [acme]")
    clone.commit()
    clone.replace("stacks/groups/acme.yaml", "description: x", "description: y")
    assert changed_sites(clone) == set(), "a description is part of no plan"
    clone.replace("stacks/groups/acme.yaml", "customer: acme", "customer: acme-2")
    assert changed_sites(clone) == {"demo"}


def test_an_untracked_file_and_an_ignored_one_count(clone: Clone) -> None:
    commit = clone.git("rev-parse", "HEAD")
    assert revision.changed_paths(commit, clone.root) == []
    (clone.root / ".gitignore").write_text((clone.root / ".gitignore").read_text() + "\nlocal.py\n")
    clone.commit()
    commit = clone.git("rev-parse", "HEAD")
    (clone.root / "components" / "local.py").write_text("")
    (clone.root / "stacks" / "sites" / "new.yaml").write_text("site: new\n")
    found = [path.as_posix() for path in revision.changed_paths(commit, clone.root)]
    assert found == ["components/local.py", "stacks/sites/new.yaml"]
    assert clone.git("status", "--porcelain") == "?? stacks/sites/new.yaml"


def test_a_new_site_and_a_broken_one_are_changed_and_a_removed_one_is_named(clone: Clone) -> None:
    sites = clone.root / "stacks" / "sites"
    (sites / "new.yaml").write_text((sites / "demo.yaml").read_text().replace("site: demo", "site: new"))
    (sites / "prod.yaml").write_text("site: prod\n")
    (sites / "tower-oslo.yaml").unlink()
    found = changed.changed_since("HEAD", [sites / f"{name}.yaml" for name in ("demo", "new", "prod")], clone.root)
    assert [file.stem for file in found.files] == ["new", "prod"]
    assert list(found.removed) == ["tower-oslo"]
    assert any(line.startswith("prod counted as changed: it has no plan now: ") for line in found.lines())


def test_a_site_that_has_no_plan_at_either_revision_is_not_taken_for_unchanged(clone: Clone) -> None:
    sites = clone.root / "stacks" / "sites"
    (sites / "prod.yaml").write_text("site: prod\n")
    clone.commit()
    (sites / "prod.yaml").write_text("# still broken\nsite: prod\n")
    found = changed.changed_since("HEAD", [sites / "prod.yaml"], clone.root)
    assert [file.stem for file in found.files] == ["prod"]


@pytest.mark.parametrize(
    ("file", "old", "why"),
    [
        ("stacks/program.py", "import pulumi\n", "the program of HEAD does not run here: "),
        ("requirements.txt", "", "the releases of then cannot be installed: ERROR: "),
    ],
)
def test_what_cannot_be_compared_counts_as_changed(
    clone: Clone, file: str, old: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = (clone.root / file).read_text()
    (clone.root / file).write_text(f"import a_library_of_then\n{text}" if old else f"{text}\na-release-of-then==1.0\n")
    clone.commit()
    (clone.root / file).write_text(text)
    demo = clone.root / "stacks" / "sites" / "demo.yaml"
    found = changed.changed_since("HEAD", [demo], clone.root)
    assert list(found.files) == [demo]
    assert why in found.lines()[1]


def test_a_revision_that_is_none_is_bad_input(clone: Clone) -> None:
    ran = clone.edge("render", "--all", "--changed-since", "no-such-ref")
    assert ran.returncode == 2
    assert "There is no revision 'no-such-ref'" in ran.stderr


def test_where_no_site_has_changed_nothing_is_done_and_nobody_says_all_good(clone: Clone) -> None:
    ran = clone.edge("check", "--changed-since", "HEAD")
    assert ran.returncode == 0
    assert ran.stdout.splitlines()[-1].startswith("no site was checked (")
    previewed = clone.edge("preview", "--all", "--changed-since", "HEAD", "--rehearse")
    assert previewed.returncode == 0
    assert previewed.stdout.splitlines() == ["no site has changed: nothing was done"]


def test_the_checkout_in_another_folder_makes_the_same_plans(clone: Clone, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    revision.check_out(clone.git("rev-parse", "HEAD"), clone.root, checkout)
    names = [path.relative_to(clone.root).as_posix() for path in sorted(clone.root.glob("stacks/sites/[!_]*.yaml"))]
    (here, stopped), (there, was_stopped) = changed._plans(
        [(root, program_of(root, clone.root), names) for root in (clone.root, checkout)], None
    )
    assert (stopped, was_stopped) == ("", "")
    assert len(names) > 5
    assert here == there
    assert not [plan for plan in here.values() if plan.startswith("no plan")]
    assert len(set(here.values())) == len(names)


def test_a_changed_site_is_recorded_once_and_found_as_by_a_check_of_all(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = clone.root / "stacks" / "sites"
    # Of this one there is no plan, then as now, for the same reason.
    (sites / "tower-oslo.yaml").write_text("site: tower-oslo\n")
    clone.commit()
    clone.replace("components/telemetry/component.py", "from __future__", "# a comment\nfrom __future__")
    clone.replace("stacks/sites/prod.yaml", "10.20.0.12", "10.20.0.22")
    (sites / "new.yaml").write_text((sites / "demo.yaml").read_text().replace("site: demo", "site: new"))
    demo = sites / "demo.yaml"
    demo.write_text(f"# a comment\n{demo.read_text()}")
    names = ("demo", "new", "prod", "tower-oslo")
    files = [sites / f"{name}.yaml" for name in names]
    runs: list[str] = []

    def counted(spec: SiteSpec, *others: Any, **named: Any) -> Any:
        runs.append(spec.site)
        return recorded(spec, *others, **named)

    monkeypatch.setattr(check, "recorded", counted)
    told: list[tuple[int, int]] = []
    found, checks = check.check_changed("HEAD", files, clone.root, tell=lambda done, of: told.append((done, of)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    # One that is no site is not recorded, and one that has not changed is not judged.
    assert runs == ["demo", "new", "prod"]
    assert [one.site for one in checks] == [file.stem for file in found.files] == ["new", "prod", "tower-oslo"]
    assert found == changed.changed_since("HEAD", files, clone.root)
    whole = [one.as_dict() for one in check.check_files(files[1:], clone.root)]
    at_once = [one.as_dict() for one in checks]
    for one in (*whole, *at_once):
        del one["duration_s"]
    assert at_once == whole
    # A report takes the checks that are made.
    runs.clear()
    seen = overview([one.file for one in checks], clone.root, checked=checks)
    assert (runs, seen.report.sites) == ([], checks)


def test_a_report_is_about_the_sites_that_a_check_takes_for_changed(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.replace("stacks/sites/prod.yaml", "10.20.0.12", "10.20.0.22")
    ran = clone.edge("report", *OWN, "--changed-since", "HEAD", "--json")
    assert ran.returncode == 0, ran.stderr
    assert {site["site"] for site in json.loads(ran.stdout)["sites"]} == changed_sites(clone) == {"prod"}
    made: list[str] = []

    def checks(command: str, *_: object, **__: object) -> list[check.SiteCheck]:
        made.append(command)
        return []

    monkeypatch.setattr(several, "checks_of_changed", checks)
    monkeypatch.chdir(clone.root)
    assert CliRunner().invoke(app, ["report", "--all", "--changed-since", "HEAD", "--json"]).exit_code == 0
    assert made == ["report"]
