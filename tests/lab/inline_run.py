"""A small program inside this process on the real engine and on the lab's providers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.run.attached import attached
from engine.environment import environment, file_backend
from lab.providers.serving import LabProviders
from lab.stack import Stack

_FLAGS = ("--yes", "--skip-preview", "--non-interactive")


@dataclass
class InlineRun(Stack):
    """A stack of its own; ``program`` is what the next command runs."""

    arguments: tuple[str, ...]
    program: Callable[[], None]

    def up(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.pulumi("up", *_FLAGS, *self.arguments, *options, check=check)

    @contextmanager
    def started_up(self) -> Iterator[subprocess.Popen[str]]:
        """An `up` that goes on meanwhile."""
        with subprocess.Popen(
            [self.command, "up", "--stack", self.name, *_FLAGS, *self.arguments],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def preview(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.pulumi("preview", "--non-interactive", *self.arguments, *options, check=check)

    def destroy(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.pulumi("destroy", *_FLAGS, check=check)

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets").stdout)
        return found

    def state(self) -> str:
        """The state as it is kept: secrets encrypted."""
        return self.export()


@contextmanager
def inline_run(home: Path, program: Callable[[], None] = lambda: None) -> Iterator[InlineRun]:
    """A new stack, attached to the lab's providers."""
    (home / "state").mkdir(parents=True)
    (home / "Pulumi.yaml").write_text("name: lab\nruntime: python\n")
    with LabProviders() as providers, attached(lambda: run.program(), with_pack=False) as host:
        variables = environment(rehearsal=providers.debug_providers, backend=file_backend(home / "state"))
        variables |= {**host.variables, "PULUMI_HOME": str(home / "home")}
        run = InlineRun("one", home, variables, host.arguments, program)
        run.pulumi("stack", "init")
        yield run
