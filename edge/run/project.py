"""The project that a command works on: the one that the current folder is in, as with `git` and `pulumi`."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError
from stacks.project import DISTRIBUTION, PROGRAM_ROOT, found, is_project

REQUIREMENTS = "requirements.txt"
"""The file of a company's repository that pins the release."""
_PIN = re.compile(rf"^{DISTRIBUTION}\s*==\s*(?P<version>[^\s;#\\]+)", re.MULTILINE | re.IGNORECASE)


def project_root() -> Path:
    """The root of that project; elsewhere this program's own checkout, with its examples.

    Raises ``OperationError`` (bad input) where there is neither, and where the project pins another release.
    """
    root = found(Path.cwd())
    if root is not None:
        _require_release(root)
        return root
    if is_project(PROGRAM_ROOT):
        return PROGRAM_ROOT
    raise OperationError(
        f"{Path.cwd()} is in no project of edge sites: no folder up to / has a Pulumi.yaml and a folder `sites`.",
        ("edge init DIR     makes one", "cd DIR     if there is one already"),
        code=BAD_INPUT,
    )


def judging_root() -> Path:
    """The project whose policies judge what is no site: the one here, or else this program, with its own rules."""
    root = found(Path.cwd())
    return PROGRAM_ROOT if root is None else project_root()


def pinned(root: Path) -> str:
    """The release of this program that the project pins; empty where it pins none."""
    file = root / REQUIREMENTS
    pin = _PIN.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    return pin["version"] if pin else ""


def _require_release(root: Path) -> None:
    wanted = pinned(root)
    if not wanted or wanted == (this := version(DISTRIBUTION)):
        return
    raise OperationError(
        f"{root / REQUIREMENTS} pins {DISTRIBUTION} {wanted}, and this is {this}: "
        "it would plan the sites in its own way.",
        (
            f"cd {root} && python3 -m venv .venv && .venv/bin/pip install -r {REQUIREMENTS}",
            "edge ...     then runs the one in .venv, wherever it is called from",
        ),
        code=BAD_INPUT,
    )
