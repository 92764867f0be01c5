"""A small program inside this process on the real engine and on the lab's providers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.environment import environment, file_backend
from engine.obtain.cli import locate
from engine.stand_in.attached_host import attached
from lab.providers.serving import LabProviders

_DEADLINE_S = 180
_STACK = "one"
_FLAGS = ("--yes", "--skip-preview", "--non-interactive", "--stack", _STACK)


@dataclass
class InlineRun:
    """A stack of its own; ``program`` is what the next command runs."""

    home: Path
    variables: dict[str, str]
    arguments: tuple[str, ...]
    program: Callable[[], None]

    def pulumi(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(locate().path), *arguments],
            cwd=self.home,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def up(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.pulumi("up", *_FLAGS, *self.arguments, *options, check=check)

    @contextmanager
    def started_up(self) -> Iterator[subprocess.Popen[str]]:
        """An `up` that goes on meanwhile."""
        command = [str(locate().path), "up", *_FLAGS, *self.arguments]
        with subprocess.Popen(
            command,
            cwd=self.home,
            env={**os.environ, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def preview(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.pulumi("preview", "--non-interactive", "--stack", _STACK, *self.arguments, *options, check=check)

    def destroy(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.pulumi("destroy", *_FLAGS, check=check)

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.pulumi("stack", "output", "--json", "--show-secrets", "--stack", _STACK).stdout
        )
        return found

    def state(self) -> str:
        """The state as it is kept: secrets encrypted."""
        return self.pulumi("stack", "export", "--stack", _STACK).stdout


@contextmanager
def inline_run(home: Path, program: Callable[[], None] = lambda: None) -> Iterator[InlineRun]:
    """A new stack, attached to the lab's providers."""
    (home / "state").mkdir(parents=True)
    (home / "Pulumi.yaml").write_text("name: lab\nruntime: python\n")
    with LabProviders() as providers, attached(lambda: run.program(), with_pack=False) as host:
        variables = environment(rehearsal=providers.debug_providers, backend=file_backend(home / "state"))
        variables |= {**host.variables, "PULUMI_HOME": str(home / "home")}
        run = InlineRun(home, variables, host.arguments, program)
        run.pulumi("stack", "init", _STACK)
        yield run
