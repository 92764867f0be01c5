"""How old secrets are: by Git alone, without a record of our own."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.run.secret_age import CUT_HISTORY, NO_HISTORY, NOT_COMMITTED, Age, ages
from tests.edge.conftest import Project

FIRST = datetime(2026, 1, 10, 12, tzinfo=UTC)


class Repository:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, at: datetime = FIRST) -> None:
        stamp = at.isoformat()
        who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a"}
        who |= {"GIT_COMMITTER_EMAIL": "a@example.com", "GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp}
        subprocess.run(["git", *arguments], cwd=self.root, env={**os.environ, **who}, check=True, capture_output=True)

    def write(self, stack: str, **values: str) -> None:
        lines = "".join(f"  edge:{key}:\n    secure: {value}\n" for key, value in values.items())
        (self.root / f"Pulumi.{stack}.yaml").write_text(f"encryptionsalt: v1:x\nconfig:\n{lines}")

    def commit(self, at: datetime) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "settings", at=at)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_a_secret_is_as_old_as_the_commit_that_brought_its_value(repository: Repository) -> None:
    repository.write("demo", token="v1:a:1", other="v1:a:2")
    repository.commit(FIRST)
    repository.write("demo", token="v1:b:1", other="v1:a:2")
    repository.commit(FIRST + timedelta(days=30))
    # A new line above it, and another name of the file, are no new value.
    repository.git("mv", "Pulumi.demo.yaml", "Pulumi.shop.yaml")
    repository.write("shop", first="v1:c:1", token="v1:b:1", other="v1:a:2")
    repository.commit(FIRST + timedelta(days=60))
    found = ages({"v1:a:2", "v1:b:1", "v1:c:1"}, repository.root)
    assert found == {
        "v1:a:2": Age(FIRST),
        "v1:b:1": Age(FIRST + timedelta(days=30)),
        "v1:c:1": Age(FIRST + timedelta(days=60)),
    }


def test_a_merge_is_no_new_value(repository: Repository) -> None:
    repository.write("demo", token="v1:a:1")
    repository.commit(FIRST)
    repository.git("switch", "--quiet", "--create", "branch")
    repository.write("demo", token="v1:b:1")
    repository.commit(FIRST + timedelta(days=1))
    repository.git("switch", "--quiet", "main")
    (repository.root / "README.md").write_text("beside it\n")
    repository.commit(FIRST + timedelta(days=2))
    repository.git("merge", "--quiet", "--no-edit", "branch", at=FIRST + timedelta(days=3))
    assert ages({"v1:b:1"}, repository.root) == {"v1:b:1": Age(FIRST + timedelta(days=1))}


def test_what_is_not_committed_says_so(repository: Repository) -> None:
    repository.write("demo", token="v1:a:1")
    assert ages({"v1:a:1"}, repository.root) == {"v1:a:1": NOT_COMMITTED}
    repository.commit(FIRST)
    repository.write("demo", token="v1:b:1")
    assert ages({"v1:b:1"}, repository.root) == {"v1:b:1": NOT_COMMITTED}


def test_without_history_the_age_is_unknown_and_not_new(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert ages({"v1:a:1"}, tmp_path / "plain") == {"v1:a:1": NO_HISTORY}
    repository.write("demo", token="v1:a:1")
    repository.commit(FIRST)
    repository.write("demo", token="v1:a:1", other="v1:b:1")
    repository.commit(FIRST + timedelta(days=1))
    repository.write("demo", token="v1:a:1", other="v1:b:1", third="v1:c:1")
    repository.commit(FIRST + timedelta(days=2))
    shallow = tmp_path / "shallow"
    repository.git("clone", "--quiet", "--depth=2", repository.root.as_uri(), str(shallow))
    assert ages({"v1:a:1", "v1:c:1"}, shallow) == {"v1:a:1": CUT_HISTORY, "v1:c:1": Age(FIRST + timedelta(days=2))}


def test_the_age_is_said_in_days() -> None:
    now = FIRST + timedelta(days=12, hours=3)
    assert Age(FIRST).words(now) == "set 12 days ago"
    assert Age(now - timedelta(days=1)).words(now) == "set 1 day ago"
    assert Age(now).words(now) == "set today"
    assert NOT_COMMITTED.words(now) == "not committed yet"


def test_the_listing_says_how_old_each_is(project: Project) -> None:
    repository = Repository(project.root)
    repository.write("demo", **{"telemetry-token": "v1:a:1"})
    repository.commit(FIRST)
    repository.write("demo", **{"telemetry-token": "v1:a:1", "ssh-private-key": "v1:b:1"})
    listed = project.edge("secrets", "demo").stdout
    days = (datetime.now(UTC) - FIRST).days
    assert f"set {days} days ago" in listed
    assert "not committed yet" in listed
    found = {one["key"]: one for one in project.edge("secrets", "demo", "--json").document["secrets"]}
    assert found["edge:telemetry-token"]["set_at"] == FIRST.isoformat()
    assert found["edge:ssh-private-key"]["age_unknown"] == "not committed yet"
    assert found["edge:k3s-token"]["set_at"] is None
