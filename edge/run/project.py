"""The project that a command works on: the one that the current folder is in, as with `git` and `pulumi`."""

from __future__ import annotations

from pathlib import Path

from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError
from stacks.project import PROGRAM_ROOT, found, is_project


def project_root() -> Path:
    """The root of that project; elsewhere this program's own checkout, with its examples.

    Raises ``OperationError`` (bad input) where there is neither.
    """
    root = found(Path.cwd())
    if root is not None:
        return root
    if is_project(PROGRAM_ROOT):
        return PROGRAM_ROOT
    raise OperationError(
        f"{Path.cwd()} is in no project of edge sites: no folder up to / has a Pulumi.yaml and a folder `sites`.",
        ("edge init DIR     makes one", "cd DIR     if there is one already"),
        code=BAD_INPUT,
    )
