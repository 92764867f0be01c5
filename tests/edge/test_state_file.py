"""A state that is damaged or gone: its file, its backup, and the command that puts it back."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from edge.run import failure
from edge.run.state_file import state_file
from tests.edge.conftest import Project

DAMAGED = "error: failed to load checkpoint: place 1: unexpected end of JSON input"
FULL = {"checkpoint": {"latest": {"resources": [{"type": "pulumi:pulumi:Stack"}, {"type": "edge:index:K3s"}]}}}
REMOVED: dict[str, Any] = {"checkpoint": {"latest": {"resources": []}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the states of a file backend are; its path holds a blank."""
    stacks = tmp_path / "my state" / ".pulumi" / "stacks" / "edge"
    stacks.mkdir(parents=True)
    return stacks


def variables(folder: Path) -> dict[str, str]:
    return {"PULUMI_BACKEND_URL": f"file://{folder.parents[2]}?metadata=skip"}


def test_a_damaged_state_is_named_with_the_command_that_restores_its_backup(folder: Path) -> None:
    file, backup = folder / "prod.json", folder / "prod.json.bak"
    file.write_text("")
    backup.write_text(json.dumps(FULL))
    error = failure.explain(DAMAGED, "prod", "real", variables(folder), "edge")
    assert f"cannot be read: {file}\n" in error.what
    assert "unexpected end of JSON input" in error.what
    assert shlex.split(error.remedies[0])[:3] == ["cp", str(backup), str(file)]


def test_the_newest_backup_with_resources_is_taken(folder: Path) -> None:
    (folder / "prod.json").write_text("{")
    (folder / "prod.json.bak").write_text("{")
    kept = folder.parents[1] / "backups" / "edge" / "prod" / "prod.1764000000.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(FULL))
    state = state_file("prod", variables(folder), "edge")
    assert state is not None
    assert state.backup == kept


def test_without_a_backup_nothing_is_promised(folder: Path) -> None:
    (folder / "prod.json").write_text("{")
    (remedy,) = failure.explain(DAMAGED, "prod", "real", variables(folder), "edge").remedies
    assert remedy.startswith("restore ")


def test_a_backend_elsewhere_keeps_its_own_words() -> None:
    assert "failed to load checkpoint" in failure.explain(DAMAGED, "prod", "real", {}, "edge").what


def test_a_state_that_is_gone_is_not_taken_for_a_new_site(folder: Path) -> None:
    backup = folder / "prod.json.bak"
    backup.write_text(json.dumps(FULL))
    lost = failure.state_lost("prod", "real", variables(folder), "edge")
    assert lost is not None
    assert str(folder / "prod.json") in lost.what
    assert shlex.split(lost.remedies[0])[:3] == ["cp", str(backup), str(folder / "prod.json")]


def test_a_stack_that_was_removed_may_be_made_again(folder: Path) -> None:
    (folder / "prod.json.bak").write_text(json.dumps(REMOVED))
    assert failure.state_lost("prod", "real", variables(folder), "edge") is None
    assert failure.state_lost("another", "real", variables(folder), "edge") is None


@pytest.mark.engine
@pytest.mark.parametrize("content", ["", '{"version": 3, "checkp', '{"version": 99}'])
def test_a_damaged_rehearsal_says_which_file_to_remove(project: Project, content: str) -> None:
    assert project.edge("preview", "demo", "--rehearse").code == 0
    project.state.write_text(content)
    ran = project.edge("preview", "demo", "--rehearse")
    assert ran.code == 1
    assert str(project.state) in ran.stdout + ran.stderr
    project.state.unlink()
    assert project.edge("preview", "demo", "--rehearse").code == 0
