"""Plain `pulumi` on the project's own program, rehearsed: what happens without `edge`, in a test's own folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from engine.rehearsal.serving import RehearsalServer
from engine.rehearsal.world import World
from lab.stack import Stack, new_stack
from stacks.configuration import PLACEHOLDER
from stacks.loader import load_site
from stacks.parts import required


class Rehearsed(Stack):
    """A stack attached to a rehearsal."""

    def up(self) -> subprocess.CompletedProcess[str]:
        return self.pulumi("up", "--yes", "--non-interactive", "--skip-preview")


@contextmanager
def stack(home: Path, site: str | Path, secrets: Mapping[str, str] | None = None) -> Iterator[Rehearsed]:
    """A new stack of a site, attached to a rehearsal, with all secrets that it requires in its settings.

    ``secrets`` go there by standard input, so that no command line holds one; placeholders stand in for the rest.
    """
    spec = load_site(site)
    secrets = secrets or {}
    keys = [need.key for need in required(spec)]
    placeholders = {f"edge:{key}": PLACEHOLDER + key for key in keys if key not in secrets}
    with RehearsalServer(World.of(spec.model_dump(mode="json"))) as server:
        config = {"edge:site": str(site), **placeholders}
        new = new_stack(home, spec.site, providers=server.debug_providers, config=config)
        made = Rehearsed(new.name, new.home, new.variables)
        for key in keys:
            if key in secrets:
                made.secret(key, secrets[key])
        yield made
