"""`edge pr`: every site that a pull request changes, rehearsed as it is at the base and previewed as it is here.

Each site is a run of the engine of its own, in a bounded pool of worker processes: one that fails stops no other.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.run import pool
from edge.run.failure import OperationError
from edge.run.many import ENGINE_MIB
from edge.run.operation import cost_of, opened
from edge.run.rehearsed_at import Base, checked_out, rehearsed_together
from edge.run.sizes import load as load_sizes
from edge.run.state_file import state_file
from edge.run.uplink import Before, fetched
from engine.obtain.pin import EngineError
from sitefile.problems import FileError
from stacks.loader import load_site
from stacks.project import project_name
from stacks.site import SiteSpec


@dataclass(frozen=True)
class Previewed:
    """What was found of one site."""

    site: str
    nodes: tuple[str, ...] = ()
    """Names of its hosts outside the site, at the base and here."""
    document: dict[str, Any] | None = None
    """The document of `edge preview --json`."""
    error: str = ""
    cost_before: dict[str, Any] | None = None
    uplink: dict[str, Any] | None = None
    """What it fetches for the change, as ``Fetched.as_dict``; None where it changes nothing."""


def previews(files: Sequence[Path], ref: str, root: Path, jobs: int | None = None) -> Iterator[Previewed]:
    """Each site's preview against ``ref``, in the order of ``files``. Raises ``OperationError`` for a bad ``ref``."""
    with checked_out(ref, root) as bare:
        base = rehearsed_together(bare, [file.stem for file in files], root, jobs)
        work = functools.partial(_previewed, base=base, root=root)
        for file, result in zip(files, pool.each(work, files, pool.size(len(files), jobs, ENGINE_MIB)), strict=True):
            yield Previewed(file.stem, error=result.reason) if isinstance(result, pool.Lost) else result


def _previewed(file: Path, *, base: Base, root: Path) -> Previewed:
    name = file.stem
    spec = _spec(name, base.checkout)
    cost_before = cost_of(spec) if spec else None
    try:
        with opened(name, rehearse=True, root=root, against=base) as session:
            nodes = _nodes(spec, session.spec)
            outcome = session.preview(lambda _step: None)
            changes = any(outcome.run.counts[op] for op in ("create", "update", "replace"))
            state = state_file(name, session.process.variables, project_name(root))
            before = Before(spec, base.checkout, state) if spec else None
            uplink = fetched(name, root, before, load_sizes(root)).as_dict() if changes else None
        return Previewed(name, nodes, outcome.as_dict(), cost_before=cost_before, uplink=uplink)
    except (FileError, OperationError, EngineError) as error:
        return Previewed(name, _nodes(spec), error=str(error), cost_before=cost_before)


def _spec(name: str, root: Path) -> SiteSpec | None:
    """The site at the base; None where it is not there, or was not valid."""
    try:
        return load_site(name, root=root)
    except FileError:
        return None


def _nodes(*specs: SiteSpec | None) -> tuple[str, ...]:
    return tuple(sorted({spec.node(host) for spec in specs if spec for host in spec.hosts}))
