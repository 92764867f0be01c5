"""A site as it is at a Git revision, rehearsed into a throw-away state: what a preview in a fresh clone compares with.

The revision's own program makes the state, as the release that is live has made the real one: a change of the program
is part of what a preview has to show. Where that program cannot run here, for example since it needs other libraries,
the present program makes the state from the revision's data, and the result says so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edge.exit_codes import BAD_INPUT
from edge.run import revision
from edge.run.failure import OperationError
from edge.run.program_at import PINS, has_program, program_of
from engine.environment import file_backend, state_folder
from stacks.loader import is_path
from stacks.project import PROGRAM_ROOT, shown, site_file, sites_folder

_CODE = ("components", "sitefile", "stacks", "policies", "edge", "engine")
_SHORT = 10
_TOGETHER = 3
"""From so many sites on, one run for all is faster than one for each."""


@dataclass(frozen=True)
class Against:
    """What a preview is compared with."""

    ref: str
    commit: str
    program: Literal["revision", "present", "none"]
    """Whose program made the state; `none`: the revision does not have the site."""
    reason: str = ""
    """Why it was not the revision's own."""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)

    def __str__(self) -> str:
        name = f"{self.ref} ({self.commit[:_SHORT]})"
        if self.program == "none":
            return f"{name}, which does not have this site"
        if self.program == "present":
            return f"{name}, rehearsed by the present program; that of {self.ref} does not run here: {self.reason}"
        return f"{name}, rehearsed by the program of {self.ref}"


@dataclass(frozen=True)
class Base:
    """A revision that several previews are compared with, checked out once."""

    ref: str
    commit: str
    checkout: Path
    rehearsed: frozenset[str] = frozenset()
    """Sites that its own program has rehearsed there already."""


@contextmanager
def checked_out(ref: str, root: Path) -> Iterator[Base]:
    """The project as it is at ``ref``, in a folder that is removed afterwards. Raises ``OperationError``."""
    commit = revision.commit_of(ref, root)
    with tempfile.TemporaryDirectory(prefix="edge-against-") as folder:
        checkout = Path(folder).resolve() / "checkout"
        revision.check_out(commit, root, checkout)
        yield Base(ref, commit, checkout)


@contextmanager
def rehearsed_at(base: Base, site: str, root: Path) -> Iterator[tuple[Against, str]]:
    """What the preview is compared with, and the backend with its state.

    ``site`` is an id or the path of a site file in the project. Raises ``OperationError``.
    """
    checkout, file = base.checkout, _file(site, base.checkout, root)
    if not (checkout / file).is_file():
        # A state of its own, which nothing else has made.
        with tempfile.TemporaryDirectory(prefix="edge-against-") as folder:
            yield Against(base.ref, base.commit, "none"), file_backend(Path(folder))
        return
    name = site if not is_path(site) else str(file)
    own = "" if name in base.rehearsed else _up(checkout, root, [name])
    if not own:
        yield Against(base.ref, base.commit, "revision"), file_backend(state_folder(checkout) / "rehearsal")
        return
    with tempfile.TemporaryDirectory(prefix="edge-against-") as folder:
        copy = Path(folder).resolve() / "checkout"
        shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".edge", ".venv"))
        _put_present_program(copy, root)
        if present := _up(copy, root, [name]):
            raise OperationError(
                f"{site} as of {base.ref} cannot be rehearsed. Its own program: {own}. The present program: {present}.",
                (f"git show {base.commit[:_SHORT]}:{file}     shows the site file of then",),
            )
        yield Against(base.ref, base.commit, "present", own), file_backend(state_folder(copy) / "rehearsal")


def _file(site: str, checkout: Path, root: Path) -> Path:
    """The site file, from the project's folder."""
    if not is_path(site):
        return site_file(checkout, site).relative_to(checkout)
    try:
        return Path(site).resolve().relative_to(root.resolve())
    except ValueError as error:
        what = f"{site} is not in the project, so no revision has it."
        where = f"move it to {shown(sites_folder(root), root)}"
        raise OperationError(what, (where,), code=BAD_INPUT) from error


def rehearsed_together(base: Base, sites: Sequence[str], root: Path, jobs: int | None = None) -> Base:
    """``base`` with as many of ``sites`` rehearsed as its own program rehearses in one run.

    That is faster than a run for each, and no more: what it leaves out is rehearsed, or explained, when its turn comes.
    """
    there = [site for site in sites if site_file(base.checkout, site).is_file()]
    if len(there) < _TOGETHER:
        return base
    done: list[str] = []
    _up(base.checkout, root, there, ["--jobs", str(jobs)] if jobs else [], done.append)
    return replace(base, rehearsed=frozenset(done))


def _up(
    checkout: Path,
    root: Path,
    sites: Sequence[str],
    options: Sequence[str] = (),
    succeeded: Callable[[str], None] = lambda _site: None,
) -> str:
    """Rehearse sites with the program of ``checkout``, in a process of its own. Returns why that failed.

    ``succeeded`` is told of each of several.
    """
    # Without it, Python would find the present program, and with it the present state.
    if (checkout / "edge").is_dir() and not (checkout / "edge" / "cli.py").is_file():
        return "it has no `edge`"
    try:
        program = program_of(checkout, root)
    except OperationError as error:
        return error.what
    with suppress(FileExistsError):
        # Where the official language host looks for the policies' interpreter.
        (checkout / ".venv").symlink_to(program.prefix)
    done = subprocess.run(
        [str(program.python), "-m", "edge.cli", "up", *sites, "--rehearse", "--yes", "--json", *options],
        cwd=checkout,
        env=program.variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    state = state_folder(checkout) / "rehearsal" / ".pulumi" / "stacks"
    for event in map(_event, done.stdout.splitlines()) if len(sites) > 1 else ():
        if event.get("exit") == 0 and list(state.glob(f"*/{event.get('site')}.json")):
            succeeded(str(event["site"]))
    if done.returncode:
        # The folder has another name each time.
        return _reason(done.stdout, done.stderr).replace(f"{checkout}/", "")
    return "" if all(list(state.glob(f"*/{Path(site).stem}.json")) for site in sites) else "it left no state"


def _event(line: str) -> dict[str, Any]:
    """A line of a stream of events; nothing for any other line."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _reason(stdout: str, stderr: str) -> str:
    """Why a run of `edge` failed, in one line."""
    try:
        document: dict[str, Any] = json.loads(stdout)
    except ValueError:
        return (stderr.strip() or stdout.strip() or "no reason given").splitlines()[-1]
    said = [problem.get("message", "") for problem in document.get("problems", ())]
    said += [finding["message"] for finding in document.get("policies", ()) if finding["level"] == "mandatory"]
    said += [one["message"] for one in document.get("diagnostics", ()) if one["severity"] == "error"]
    said.append(document.get("error", {}).get("what", ""))
    return next((line.splitlines()[0] for line in said if line), "no reason given").rstrip(".")


def _put_present_program(checkout: Path, root: Path) -> None:
    """Replace the program in ``checkout`` by the present one. Sites, groups, profiles and settings stay."""
    if not has_program(checkout):
        # A company's: the release that it pins is the program.
        for name in PINS:
            (checkout / name).unlink(missing_ok=True)
            if (root / name).is_file():
                shutil.copy(root / name, checkout)
        return
    for folder in _CODE:
        shutil.copytree(
            PROGRAM_ROOT / folder,
            checkout / folder,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", *(("*.yaml", "*.yml") if folder == "stacks" else ())),
        )
    shutil.copy(PROGRAM_ROOT / "__main__.py", checkout)
    for name in PINS:
        shutil.copy(PROGRAM_ROOT / name, checkout)
