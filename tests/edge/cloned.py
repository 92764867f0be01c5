"""A clone of the project with a history of its own, for what compares revisions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.catalogue import PROJECT_ROOT

_IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.com")


@dataclass(frozen=True)
class Clone:
    """A clone of the project with a history of its own."""

    root: Path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *_IDENTITY, *arguments], cwd=self.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a change")
        return self.git("rev-parse", "HEAD")

    def replace(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def edge(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`edge` as the clone has it."""
        return subprocess.run(
            [sys.executable, "-m", "edge.cli", *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
        )

    def preview(self, site: str, *options: str) -> dict[str, Any]:
        """The document of `edge preview SITE --rehearse`, run by the clone's own program."""
        done = self.edge("preview", site, "--rehearse", *options, "--json")
        document: dict[str, Any] = json.loads(done.stdout)
        assert document["exit"] == done.returncode, done.stderr
        return document


def cloned(root: Path) -> Clone:
    """What is here, committed or not, without tests and lab, as the first commit of a repository at ``root``."""
    made = Clone(root)
    made.root.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if not name.startswith(("tests/", "lab/", "bench/")) and (PROJECT_ROOT / name).is_file():
            (made.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT_ROOT / name, made.root / name)
    made.git("init", "--quiet")
    made.commit()
    return made
