"""Plain `pulumi` on the project's own program, rehearsed: what happens without `edge`, in a test's own folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.environment import PROJECT_ROOT, environment, file_backend
from engine.obtain.cli import locate
from engine.rehearsal import RehearsalServer
from engine.rehearsal.world import World
from stacks.loader import load_site
from stacks.secrets import required
from stacks.site import SiteSpec


@dataclass(frozen=True)
class Stack:
    """One stack; ``home`` holds its project file, settings and state, so that the checkout stays as it is."""

    home: Path
    spec: SiteSpec
    variables: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.spec.site

    @property
    def command(self) -> str:
        return str(locate().path)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def pulumi(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.command, *arguments],
            cwd=self.home,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def up(self, *options: str) -> subprocess.CompletedProcess[str]:
        flags = ("--yes", "--non-interactive", "--skip-preview")
        return self.pulumi("up", *flags, "--stack", self.name, *options)

    def export(self, *options: str) -> str:
        return self.pulumi("stack", "export", "--stack", self.name, *options).stdout

    def resources(self) -> list[dict[str, Any]]:
        """The resources of the state, secrets shown."""
        found: list[dict[str, Any]] = json.loads(self.export("--show-secrets"))["deployment"]["resources"]
        return found


@contextmanager
def stack(home: Path, site: str | Path, secrets: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A new stack of a site, attached to a rehearsal, with all secrets that it requires in its settings.

    ``secrets`` go there by standard input, so that no command line holds one; placeholders stand in for the rest.
    """
    spec = load_site(site)
    (home / "state").mkdir(parents=True)
    project = yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text())
    project["main"] = os.path.relpath(PROJECT_ROOT, home)
    project["runtime"] = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
    (home / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    needs = {need.key: f"placeholder-{need.key}" for need in required(spec)}
    with RehearsalServer(World.of(spec.model_dump(mode="json"))) as server:
        variables = environment(rehearsal=server.debug_providers, backend=file_backend(home / "state"))
        made = Stack(home, spec, {**variables, "PULUMI_HOME": str(home / "home")})
        made.pulumi("stack", "init", made.name)
        settings = home / f"Pulumi.{made.name}.yaml"
        plain = {f"edge:{key}": value for key, value in needs.items() if key not in (secrets or {})}
        content = yaml.safe_load(settings.read_text()) or {}
        settings.write_text(yaml.safe_dump({**content, "config": {"edge:site": str(site), **plain}}))
        for key in needs:
            if key in (secrets or {}):
                made.pulumi(
                    "config", "set", "--secret", f"edge:{key}", "--stack", made.name, stdin=(secrets or {})[key]
                )
        yield made
