"""`edge check --against`: what the edits of site files mean, compared with a state or with a Git revision.

A state is what `pulumi stack export` writes, or the file of a self-managed backend. A revision stands for what was
applied: the present program is recorded on the site files as they were there.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from components.consequence import Consequence
from components.host.applied import Applied, Held
from edge.exit_codes import BAD_INPUT
from edge.run import revision
from edge.run.events import STACK_TYPE
from edge.run.failure import OperationError
from edge.run.program import recorded, rehearsed
from sitefile.problems import FileError
from stacks.catalogue import catalogue
from stacks.consequences import answers, in_any
from stacks.loader import load_site
from stacks.project import site_file, sites_folder
from stacks.site import SiteSpec

_HELP = "edge check SITE --against HEAD~1     compares with a Git revision; a file is one of `pulumi stack export`"


@dataclass
class Before:
    """Sites as they were applied, or as a revision has them."""

    root: Path
    states: Mapping[str, tuple[Applied, ...]] = field(default_factory=dict)
    """By site; several where a killed `up` leaves it open which holds."""
    files: Path | None = None
    """The project at the revision."""

    def consequences(self, spec: SiteSpec) -> tuple[Consequence, ...]:
        """What the edit means. Raises ``OperationError`` where the site of the revision cannot be built."""
        befores = self.states.get(spec.site, ())
        if self.files is not None:
            befores = tuple(self._recorded(name) for name in self._were(spec))
        return in_any(befores, spec, catalogue(self.root))

    def _were(self, spec: SiteSpec) -> Iterator[str]:
        """The site at the revision, by its name or as the one that has its hosts and is gone now."""
        assert self.files is not None
        old = sites_folder(self.files)
        if (old / f"{spec.site}.yaml").is_file():
            yield spec.site
            return
        keys = {host.host_key for host in spec.hosts}
        now = sites_folder(self.root)
        for file in sorted(old.glob("[!_.]*.yaml")):
            if not (now / file.name).exists() and any(key in file.read_text(encoding="utf-8") for key in keys):
                yield file.stem

    def _recorded(self, site: str) -> Applied:
        assert self.files is not None
        try:
            spec = load_site(site, root=self.files)
        except FileError as error:
            what = f"{site} is not a valid site at that revision: what was applied is not known.\n{error}"
            raise OperationError(what, ("compare with the stack's state: `pulumi stack export`",)) from error
        file = site_file(self.files, site)
        recording = recorded(spec, rehearsed(spec, {}, file, self.root), self.root)
        return Applied.of(
            Held(one.urn, one.inputs, one.outputs, one.parent) for one in recording.resources if one.type != STACK_TYPE
        )


@contextmanager
def before(named: str, root: Path) -> Iterator[Before]:
    """What `--against` names: a file, or else a revision. Raises ``OperationError`` (bad input)."""
    if Path(named).is_file():
        yield Before(root, states=_states(Path(named)))
        return
    with tempfile.TemporaryDirectory(prefix="edge-against-") as folder:
        checkout = Path(folder) / "checkout"
        _check_out(named, root, checkout)
        yield Before(root, files=checkout)


def _states(file: Path) -> dict[str, tuple[Applied, ...]]:
    try:
        text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        document = json.loads(text)
        deployment = document.get("deployment") or document["checkpoint"]["latest"] or {}
        found = answers(deployment)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OperationError(f"{file} is not the state of a stack.", (_HELP,), code=BAD_INPUT) from error
    states: dict[str, tuple[Applied, ...]] = {}
    for applied in found:
        for site in applied.sites:
            states[site] = (*states.get(site, ()), applied)
    return states


def _check_out(named: str, root: Path, folder: Path) -> None:
    """The project at a revision that has sites."""
    try:
        revision.check_out(revision.commit_of(named, root), root, folder)
    except OperationError as error:
        what = f"--against {named}: there is no such file. {error.what}"
        raise OperationError(what, (*error.remedies, _HELP), code=error.code) from error
    if not sites_folder(folder).is_dir():
        what = f"--against {named}: there is no such file, and the revision has no sites."
        raise OperationError(what, (_HELP,), code=BAD_INPUT)
