"""Each kind of edit through the real engine: `preview` says it first, and `up` stops before it changes anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from components.consequence import Effect
from stacks.catalogue import PROJECT_ROOT
from tests.edge.conftest import Project
from tests.stacks.site_edits import ROWS, Row, base

pytestmark = pytest.mark.engine

_BASES = tuple(dict.fromkeys(row.base for row in ROWS))


def _id(name: str) -> str:
    return str(base(name)["site"])


def _write(project: Project, content: dict[str, object]) -> None:
    (project.sites / f"{content['site']}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with all these sites up, in a rehearsal: each by its first `up`, which the policies judge too."""
    root = tmp_path_factory.mktemp("live")
    project = Project(root)
    project.sites.mkdir(parents=True)
    for folder in ("profiles", "groups"):
        (root / "stacks" / folder).symlink_to(PROJECT_ROOT / "stacks" / folder)
    for file in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(PROJECT_ROOT / file, root)
    shutil.copy(PROJECT_ROOT / "stacks" / "sites" / "_defaults.yaml", project.sites)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.run.project.project_root", lambda: root)
        for name in _BASES:
            _write(project, base(name))
            done = project.edge("up", _id(name), "--rehearse", "--json")
            assert done.code == 0, done.stdout + done.stderr
    return root


@pytest.fixture
def project(live: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The live project; each test finds the files of the sites as they were applied."""
    monkeypatch.setattr("edge.run.project.project_root", lambda: live)
    for name in _BASES:
        _write(Project(live), base(name))
    return Project(live)


def state(project: Project, site: str) -> bytes:
    return (project.root / ".edge" / "rehearsal" / ".pulumi" / "stacks" / "edge" / f"{site}.json").read_bytes()


# A site under another name has a stack of its own: nothing was applied there (see tests/stacks).
ENGINE_ROWS = [row for row in ROWS if row.name != "the site is renamed"]


@pytest.mark.parametrize("row", ENGINE_ROWS, ids=[row.name for row in ENGINE_ROWS])
def test_what_an_edit_destroys_is_said_first_and_stops_up(row: Row, project: Project) -> None:
    site = _id(row.base)
    _write(project, row.site())
    before = state(project, site)

    # `up` previews first: what it refuses is what `preview` shows.
    stops = row.worst in (Effect.IMPOSSIBLE, Effect.DESTROYS)
    ran = project.edge("up" if stops else "preview", site, "--rehearse", "--json")
    assert {one["edit"] for one in ran.document["consequences"]} == row.edits
    by_policy = any(finding["level"] == "mandatory" for finding in ran.document["policies"])
    assert ran.code == (1 if stops or by_policy else 0), ran.stdout + ran.stderr
    if stops:
        assert "nothing was changed" in ran.document["error"]["what"]
        assert ran.document["error"]["remedies"]
        assert json.loads(state(project, site))["checkpoint"] == json.loads(before)["checkpoint"]


@pytest.mark.parametrize(("edit", "code"), [({"pod_cidr": "10.44.0.0/16"}, 1), ({"version": "v1.36.1+k3s1"}, 0)])
def test_a_preview_fails_on_what_cannot_work_and_shows_what_destroys(
    edit: dict[str, str], code: int, project: Project
) -> None:
    content = base("shop")
    content["k3s"].update(edit)
    _write(project, content)
    assert project.edge("preview", "demo", "--rehearse", "--json").code == code


def test_a_preview_for_people_says_it_above_everything_else(project: Project) -> None:
    content = base("plant")
    content["hosts"] = [host for host in content["hosts"] if host["name"] != "d"]
    _write(project, content)
    lines = project.edge("preview", "prod", "--rehearse").stdout.splitlines()
    said = next(number for number, line in enumerate(lines) if "destroys" in line)
    assert "d: prod-d is drained and wiped" in lines[said]
    assert "do: " in lines[said + 1]
    assert said < next(number for number, line in enumerate(lines) if "- delete" in line)
    # Only what the run itself is comes before it.
    assert all(line.startswith(("preview", "  placeholders", "  state")) for line in lines[:said]), lines[:said]


def test_consent_names_the_host_or_the_part(project: Project) -> None:
    content = base("plant")
    content["hosts"] = [host for host in content["hosts"] if host["name"] != "d"]
    del content["registrations"]
    _write(project, content)
    for given, missing in (("d", "arc"), ("arc", "d")):
        refused = project.edge("up", "prod", "--rehearse", "--json", "--allow-destroy", given)
        assert refused.code == 1, given
        assert refused.document["error"]["what"] == f"prod: this would destroy {missing}; nothing was changed."
    wrong = project.edge("up", "prod", "--rehearse", "--json", "--allow-destroy", "e")
    assert wrong.code == 2
    assert "nothing of that name" in wrong.document["error"]["what"]


def test_consent_does_not_help_what_cannot_work(project: Project) -> None:
    content = base("shop")
    content["k3s"]["pod_cidr"] = "10.44.0.0/16"
    _write(project, content)
    refused = project.edge("up", "demo", "--rehearse", "--json", "--allow-destroy", "k3s")
    assert refused.code == 1
    assert "cannot work" in refused.document["error"]["what"]


def test_destroy_says_what_goes_before_it_asks(project: Project) -> None:
    from edge.run.operation import opened_stack

    with opened_stack("prod", rehearse=True, root=project.root) as session:
        planned = session.preview_destroy(lambda _step: None)
    (said,) = planned.as_dict()["consequences"]
    assert (said["edit"], said["class"]) == ("site-destroyed", "destroys")
    assert "prod-a" in said["reason"]


def test_a_rename_that_is_declared_keeps_every_resource(project: Project) -> None:
    content = base("shop")
    content["hosts"][0].update(name="z", renamed_from="a")
    _write(project, content)
    document = project.edge("preview", "demo", "--rehearse", "--json").document
    assert {resource["op"] for resource in document["resources"]} <= {"same", "update"}
    named = {resource["name"] for resource in document["resources"]}
    assert {"demo-z", "demo-z-k3s", "demo-z-tailscale", "demo-z-telemetry"} <= named
    assert not {name for name in named if name.startswith("demo-a")}


# Last, since it changes what is up.
def test_with_consent_the_edit_is_made(project: Project) -> None:
    content = base("plant")
    content["hosts"] = [host for host in content["hosts"] if host["name"] != "d"]
    _write(project, content)
    done = project.edge("up", "prod", "--rehearse", "--json", "--allow-destroy", "d")
    assert done.code == 0, done.stdout + done.stderr
    assert done.document["counts"]["delete"] > 0
    again = project.edge("preview", "prod", "--rehearse", "--json").document
    assert again["consequences"] == []
