"""A project of a test's own: the real profiles, defaults and policies, its own sites, state and stack settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from edge.cli import app
from edge.run.stack_settings import placeholders
from engine.environment import environment
from engine.obtain.cli import locate
from engine.rehearsal.serving import RehearsalServer
from engine.rehearsal.workspace import rehearsal_workspace
from engine.rehearsal.world import World
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site
from tests.edge.clones import Clone, new_clone
from tests.edge.sites import SITES


@dataclass(frozen=True)
class Ran:
    """What `edge` said and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The document of `--json`; fails when standard output holds anything else."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found


@dataclass(frozen=True)
class Project:
    """``root`` is what `edge` takes for the checkout."""

    root: Path

    @property
    def sites(self) -> Path:
        return self.root / "stacks" / "sites"

    @property
    def state(self) -> Path:
        """State of the rehearsed demo site."""
        return self.root / ".edge" / "rehearsal" / ".pulumi" / "stacks" / "edge" / "demo.json"

    def edge(self, *arguments: object) -> Ran:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return Ran(result.exit_code, result.stdout, result.stderr)

    def pulumi(self, *arguments: str) -> str:
        """What plain `pulumi` prints on the rehearsed demo site; fails when it fails."""
        spec = load_site("demo", root=self.root)
        paths = rehearsal_workspace("demo", self.root, placeholders(spec))
        with RehearsalServer(World.of(spec.model_dump(mode="json"))) as server:
            done = subprocess.run(
                [str(locate().path), *arguments, "--non-interactive", "--stack", "demo"],
                cwd=paths.work_dir,
                env={**os.environ, **environment(rehearsal=server.debug_providers, project_root=self.root)},
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def change(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit a site file."""
        file = self.sites / f"{name}.yaml"
        content = yaml.safe_load(file.read_text())
        change(content)
        file.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    own = Project(tmp_path / "project")
    own.sites.mkdir(parents=True)
    (own.root / "stacks" / "profiles").symlink_to(PROJECT_ROOT / "stacks" / "profiles")
    for file in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(PROJECT_ROOT / file, own.root)
    for name in ("_defaults", "demo"):
        shutil.copy(SITES / f"{name}.yaml", own.sites)
    monkeypatch.setattr("edge.run.project.project_root", lambda: own.root)
    for name in ("EDGE_DEBUG", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return own


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return new_clone(tmp_path / "clone")
