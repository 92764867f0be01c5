"""A stack of the project's own program in a folder of its own, run by plain `pulumi`: what tests and benchmarks use.

The program is the checkout's `__main__.py`. Project file, settings and state are in the folder, so that the checkout
stays as it is. The providers are those that the caller attaches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.environment import PROJECT_ROOT, environment, file_backend
from engine.obtain.cli import locate

_DEADLINE_S = 900
"""More than K3s' own 300 s, at the end of which a script says what it waits for."""


@dataclass
class Stack:
    """One stack, and the folder with its project file, settings and state."""

    name: str
    home: Path
    variables: Mapping[str, str]
    """On top of this process's environment."""

    @property
    def command(self) -> str:
        return str(locate().path)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def pulumi(self, *arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `pulumi` with ``arguments`` on this stack. With ``check``, an exit code other than 0 fails the test."""
        done = subprocess.run(
            [self.command, *arguments, "--stack", self.name],
            cwd=self.home,
            env=self.environment,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def secret(self, key: str, value: str) -> None:
        """Keep a secret in the stack's settings, encrypted; it goes there by standard input."""
        self.pulumi("config", "set", "--secret", f"edge:{key}", stdin=value)

    def export(self, *options: str) -> str:
        return self.pulumi("stack", "export", *options).stdout

    def resources(self, *options: str) -> list[dict[str, Any]]:
        """The resources of the state; `--show-secrets` shows their secrets."""
        found: list[dict[str, Any]] = json.loads(self.export(*options))["deployment"].get("resources", [])
        return found


def new_stack(home: Path, name: str, *, providers: str, config: Mapping[str, str]) -> Stack:
    """A new stack in the new folder ``home``. ``providers`` is the value of PULUMI_DEBUG_PROVIDERS.

    ``config`` has full keys (``edge:site``) and is written as plain text.
    """
    (home / "state").mkdir(parents=True)
    project = yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text())
    project["main"] = os.path.relpath(PROJECT_ROOT, home)
    project["runtime"] = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
    (home / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    variables = environment(rehearsal=providers, backend=file_backend(home / "state"))
    made = Stack(name, home, {**variables, "PULUMI_HOME": str(home / "home")})
    made.pulumi("stack", "init")
    settings = home / f"Pulumi.{name}.yaml"
    settings.write_text(yaml.safe_dump({**yaml.safe_load(settings.read_text()), "config": dict(config)}))
    return made
