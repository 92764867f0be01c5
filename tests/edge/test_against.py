"""A preview against a Git revision, in a fresh clone of the project: what differs, and nothing of what is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.run import revision
from edge.run.failure import OperationError
from tests.edge.cloned import Clone


def changed(document: dict[str, Any]) -> dict[str, int]:
    return {op: number for op, number in document["counts"].items() if number}


@pytest.mark.engine
def test_an_edit_of_one_address_is_updates_and_no_creation(clone: Clone) -> None:
    clone.replace("stacks/sites/prod.yaml", "10.20.0.12", "10.20.0.22")
    clone.commit()
    status = clone.git("status", "--porcelain")
    document = clone.preview("prod", "--against", "HEAD~1")
    assert document["exit"] == 0
    assert set(changed(document)) == {"update", "same"}
    assert document["against"] == {
        "ref": "HEAD~1",
        "commit": clone.git("rev-parse", "HEAD~1"),
        "program": "revision",
        "reason": "",
    }
    updated = {one["name"] for one in document["resources"] if one["op"] == "update"}
    assert {"prod-b-reachable", "prod-b-k3s"} <= updated
    # The throw-away state is no rehearsal of this clone, and the repository is as it was.
    assert not (clone.root / ".edge" / "rehearsal" / ".pulumi" / "stacks").exists()
    assert clone.git("status", "--porcelain") == status
    assert clone.preview("prod", "--against", "HEAD~1") == document


@pytest.mark.engine
def test_the_state_is_that_of_the_revisions_own_program(clone: Clone) -> None:
    clone.replace("components/host/base.sh.j2", "put_file", "# of another release\nput_file")
    clone.commit()
    document = clone.preview("demo", "--against", "HEAD~1")
    base = next(one for one in document["resources"] if one["name"] == "demo-a-base")
    assert (base["op"], base["diffs"]) == ("update", ["create"])
    assert "# of another release" not in base["changes"][0]["before"]
    assert "# of another release" in base["changes"][0]["after"]


@pytest.mark.engine
def test_a_revision_whose_program_does_not_run_here_is_rehearsed_by_the_present_one(clone: Clone) -> None:
    clone.replace("stacks/program.py", "import pulumi\n", "import pulumi\nimport a_library_of_then\n")
    clone.commit()
    clone.replace("stacks/program.py", "import a_library_of_then\n", "")
    clone.replace("stacks/sites/demo.yaml", "10.10.0.11", "10.10.0.12")
    clone.commit()
    document = clone.preview("demo", "--against", "HEAD~1")
    assert document["against"]["program"] == "present"
    assert "a_library_of_then" in document["against"]["reason"]
    assert set(changed(document)) == {"update", "same"}


@pytest.mark.engine
def test_a_site_that_the_revision_does_not_have_is_all_new_and_says_why(clone: Clone) -> None:
    (clone.root / "stacks/sites/prod2.yaml").write_text(
        (clone.root / "stacks/sites/demo.yaml").read_text().replace("site: demo", "site: prod2")
    )
    clone.commit()
    document = clone.preview("prod2", "--against", "HEAD~1")
    assert document["against"]["program"] == "none"
    assert set(changed(document)) == {"create"}


def test_a_revision_that_is_not_there_is_bad_input(clone: Clone) -> None:
    document = clone.preview("demo", "--against", "no-such-branch")
    assert document["exit"] == 2
    assert "no-such-branch" in document["error"]["what"]


def test_a_revision_is_never_taken_for_an_option_of_git(clone: Clone) -> None:
    with pytest.raises(OperationError, match="no revision"):
        revision.commit_of("--output=/tmp/x", clone.root)


def test_a_shallow_clone_says_how_to_get_its_history(clone: Clone, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    clone.git("commit", "--quiet", "--allow-empty", "--message", "another")
    clone.git("clone", "--quiet", "--depth=1", f"file://{clone.root}", str(shallow))
    with pytest.raises(OperationError) as refused:
        revision.commit_of("HEAD~1", shallow)
    assert "git fetch --unshallow" in refused.value.remedies[0]


def test_an_archive_is_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(OperationError, match="not in a Git repository"):
        revision.commit_of("HEAD", tmp_path)


def test_a_project_below_the_top_of_its_repository_is_checked_out_alone(tmp_path: Path) -> None:
    outer = Clone(tmp_path / "company")
    project = outer.root / "edge-sites"
    project.mkdir(parents=True)
    (project / "Pulumi.yaml").write_text("then")
    (outer.root / "other.txt").write_text("x")
    outer.git("init", "--quiet")
    commit = outer.commit()
    (project / "Pulumi.yaml").write_text("now, and staged")
    outer.git("add", "--all")
    revision.check_out(commit, project, tmp_path / "then")
    assert {path.name: path.read_text() for path in (tmp_path / "then").iterdir()} == {"Pulumi.yaml": "then"}
    assert outer.git("diff", "--cached", "--name-only") == "edge-sites/Pulumi.yaml"


@pytest.mark.parametrize("options", [(), ("--rehearse", "--save-plan", "x")])
def test_only_rehearsals_are_compared_and_none_is_a_plan(options: tuple[str, ...]) -> None:
    from typer.testing import CliRunner

    from edge.cli import app

    assert CliRunner().invoke(app, ["preview", "demo", "--against", "HEAD", *options]).exit_code == 2
