"""A runner of workflows: the shell of a job's steps, run for real in a clone, with what the platform would give."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.edge.clones import Clone

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


def jobs(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from document["jobs"].values()


def steps(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for job in jobs(document):
        yield from job["steps"]


def step_named(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in steps(document) if step.get("name") == name)


@dataclass(frozen=True)
class Runner:
    """A clone of a bare repository, as a runner has it after checkout and set-up."""

    clone: Clone
    place: Path
    """For what the runner gives to steps."""
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """What is in the environment of every step."""

    def run(self, step: Mapping[str, Any], values: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """One step's shell; ``values`` are those of the expressions in its environment."""
        given = {key: self._filled(str(value), values) for key, value in step.get("env", {}).items()}
        own = {name: str(self.place / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        path = f"{self.place / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.clone.root,
            env={**self.variables, "PATH": path, "GITHUB_REPOSITORY": "we/sites", **own, **given},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def told(self, name: str) -> str:
        file = self.place / name
        return file.read_text() if file.exists() else ""

    def put(self, name: str, script: str) -> None:
        """A program of the runner's, on its PATH."""
        file = self.place / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/bash\n{script}")
        file.chmod(0o755)

    @staticmethod
    def _filled(text: str, values: Mapping[str, str]) -> str:
        return _EXPRESSION.sub(lambda found: values[found[1]], text)


def publish(
    runner: Runner, comment: Mapping[str, Any], number: str, comments: str = "", head: str = "abc"
) -> list[str]:
    """Runs the publishing step of ``comment``; what it asked of GitHub to write. `gh` answers as the API does."""
    result = runner.clone.root / "result"
    result.mkdir(exist_ok=True)
    (result / "number").write_text(number)
    if not (result / "comment.md").exists():
        (result / "comment.md").write_text("<!-- edge pr -->\n")
    asked = runner.place / "asked"
    asked.unlink(missing_ok=True)
    runner.put(
        "gh",
        f'case "$*" in\n*--method*) echo "$*" >>{asked} ;;\n'
        f'*/comments*) printf "{comments}" ;;\n*) echo abc ;;\nesac\n',
    )
    values = {"github.token": "t", "github.event.workflow_run.head_sha": head}
    done = runner.run(step_named(comment, "Write or update the comment"), values)
    assert done.returncode == (0 if re.fullmatch(r"\d+\s*", number) else 1), done.stderr
    return asked.read_text().splitlines() if asked.exists() else []
