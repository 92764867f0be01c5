"""A site as it is at a Git revision, rehearsed into a throw-away state: what a preview in a fresh clone compares with.

The revision's own program makes the state, as the release that is live has made the real one: a change of the program
is part of what a preview has to show. Where that program cannot run here, for example since it needs other libraries,
the present program makes the state from the revision's data, and the result says so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edge.exit_codes import BAD_INPUT
from edge.run import revision
from edge.run.failure import OperationError
from engine.environment import PROJECT_ROOT, file_backend, state_folder
from stacks.loader import is_path

_CODE = ("components", "sitefile", "stacks", "policies", "edge", "engine")
_SHORT = 10


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


@contextmanager
def rehearsed_at(ref: str, site: str, root: Path) -> Iterator[tuple[Against, str]]:
    """What the preview is compared with, and the backend with its state, which is removed afterwards.

    ``site`` is an id or the path of a site file in the project. Raises ``OperationError``.
    """
    commit = revision.commit_of(ref, root)
    with tempfile.TemporaryDirectory(prefix="edge-against-") as folder:
        checkout = Path(folder).resolve() / "checkout"
        revision.check_out(commit, root, checkout)
        file = _file(site, root)
        backend = file_backend(state_folder(checkout) / "rehearsal")
        if not (checkout / file).is_file():
            yield Against(ref, commit, "none"), backend
            return
        name = site if not is_path(site) else str(file)
        against = Against(ref, commit, "revision")
        if own := _up(checkout, name):
            _put_present_program(checkout)
            if present := _up(checkout, name):
                raise OperationError(
                    f"{site} as of {ref} cannot be rehearsed. Its own program: {own}. The present program: {present}.",
                    (f"git show {commit[:_SHORT]}:{file}     shows the site file of then",),
                )
            against = Against(ref, commit, "present", own)
        yield against, backend


def _file(site: str, root: Path) -> Path:
    """The site file, from the project's folder."""
    if not is_path(site):
        return Path("stacks", "sites", f"{site}.yaml")
    try:
        return Path(site).resolve().relative_to(root.resolve())
    except ValueError as error:
        what = f"{site} is not in the project, so no revision has it."
        raise OperationError(what, ("move it to stacks/sites",), code=BAD_INPUT) from error


def _up(checkout: Path, site: str) -> str:
    """Rehearse the site with the program in ``checkout``, in a process of its own. Returns why that failed."""
    # Without it, Python would find the present program, and with it the present state.
    if not (checkout / "edge" / "cli.py").is_file():
        return "it has no `edge`"
    state = state_folder(checkout)
    shutil.rmtree(state, ignore_errors=True)
    link = checkout / ".venv"
    if not link.exists():
        # Where the official language host looks for the policies' interpreter.
        link.symlink_to(sys.prefix)
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "up", site, "--rehearse", "--yes", "--json"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        # The folder has another name each time.
        return _reason(done.stdout, done.stderr).replace(f"{checkout}/", "")
    if not list(state.glob("rehearsal/.pulumi/stacks/*/*.json")):
        return "it left no state"
    return ""


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


def _put_present_program(checkout: Path) -> None:
    """Replace the program in ``checkout`` by the present one. Sites, groups, profiles and settings stay."""
    for folder in _CODE:
        shutil.copytree(
            PROJECT_ROOT / folder,
            checkout / folder,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", *(("*.yaml", "*.yml") if folder == "stacks" else ())),
        )
    shutil.copy(PROJECT_ROOT / "__main__.py", checkout)
