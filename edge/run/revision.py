"""The project as it is at a Git revision, in a folder of its own. Nothing in the repository changes, nor its index."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError


def commit_of(ref: str, root: Path) -> str:
    """The commit that ``ref`` names in the repository of ``root``. Raises ``OperationError``."""
    inside = _git(root, "rev-parse", "--is-inside-work-tree")
    if inside.returncode:
        raise OperationError(
            f"{root} is not in a Git repository, so there is no {ref} to compare with.",
            ("git clone ...     a clone has the revisions; an archive does not",),
            code=BAD_INPUT,
        )
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode:
        shallow = _git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        remedies = ["git fetch --all     fetches what others have pushed"]
        if shallow:
            remedies.insert(0, "git fetch --unshallow     fetches the history, which this clone lacks")
        raise OperationError(f"There is no revision {ref!r} in this repository.", remedies, code=BAD_INPUT)
    return found.stdout.strip()


def check_out(commit: str, root: Path, folder: Path) -> None:
    """Write the project's files as of ``commit`` into ``folder``. Raises ``OperationError``."""
    prefix = _git(root, "rev-parse", "--show-prefix").stdout.strip()
    # An index of its own: that of the repository holds what somebody may be about to commit.
    index = {"GIT_INDEX_FILE": str(folder / ".index")}
    folder.mkdir(parents=True)
    tree = f"{commit}:{prefix}" if prefix else commit
    top = _git(root, "rev-parse", "--show-toplevel").stdout.strip()
    for command in (("read-tree", tree), ("checkout-index", "--all", f"--prefix={folder}/")):
        done = _git(Path(top), *command, variables=index)
        if done.returncode:
            raise OperationError(f"git {command[0]} failed: {done.stderr.strip()}")
    (folder / ".index").unlink()


def changed_paths(commit: str, root: Path) -> list[Path]:
    """Files of the project that are not as ``commit`` has them: changed, new, gone; below ``root``."""
    differ = _git(root, "diff", "--name-only", "--no-renames", "--relative", "-z", commit, "--", ".")
    new = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    for done in (differ, new):
        if done.returncode:
            raise OperationError(f"git cannot compare with {commit}: {done.stderr.strip()}")
    return sorted({Path(name) for name in (differ.stdout + new.stdout).split("\0") if name})


def _git(root: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=root,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise OperationError("git is not installed, or not on PATH.", ("apt install git",)) from error
