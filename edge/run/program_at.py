"""The Python that runs a checkout of another revision: this one, or one with the releases that the revision pins.

Where the pins are the same, this environment is right. Where they differ, an environment is made from those of then,
once, in the cache: so an upgrade is compared with what really is live.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.run.failure import OperationError
from edge.run.project import REQUIREMENTS
from engine.obtain import cache
from engine.obtain.cli import installed_path
from stacks.project import PROGRAM_ROOT

PINS = (REQUIREMENTS, "constraints.txt")
"""The files that say which releases are used."""
_PROGRAM = ("components", "sitefile", "stacks", "engine", "edge")


@dataclass(frozen=True)
class Program:
    """How to run the program of a checkout."""

    python: Path
    code: Path | None
    """The folder with its packages; None where they are installed in its environment."""

    @property
    def prefix(self) -> Path:
        """Its environment."""
        return self.python.parent.parent

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of such a run."""
        path = os.pathsep.join([str(installed_path().parent), os.environ.get("PATH", os.defpath)])
        # Empty rather than inherited: another folder may hold another release.
        code = str(self.code) if self.code else ""
        return {**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": code}


def has_program(folder: Path) -> bool:
    """Whether the program itself is in ``folder``. A company's repository holds none."""
    return all((folder / name).is_dir() for name in _PROGRAM)


def program_of(checkout: Path, root: Path) -> Program:
    """What runs ``checkout``, a revision of ``root``. Raises ``OperationError`` where its pins cannot be installed."""
    code = checkout if has_program(checkout) else None
    if pins(checkout) == pins(root):
        return Program(Path(sys.executable), code or PROGRAM_ROOT)
    return Program(_environment(checkout) / "bin" / "python", code)


def pins(folder: Path) -> tuple[str, ...]:
    """The releases that a project pins. A comment makes no difference."""
    lines = [
        line.partition("#")[0].strip()
        for name in PINS
        if (folder / name).is_file()
        for line in (folder / name).read_text(encoding="utf-8").splitlines()
    ]
    return tuple(line for line in lines if line)


def environment_folder(releases: Sequence[str]) -> Path:
    """Where the environment with these releases is, or will be."""
    what = json.dumps([sys.version_info[:2], releases])
    return cache.root().parent / "programs" / hashlib.sha256(what.encode()).hexdigest()[:16]


def _environment(checkout: Path) -> Path:
    """An environment with the releases that ``checkout`` pins."""
    from engine.obtain.progress import say

    folder = environment_folder(pins(checkout))
    with cache.filling(folder, "the releases of another revision") as aside:
        if not folder.exists():
            say(f"Installing the releases that the other revision pins, once, into {folder}")
            _run([sys.executable, "-m", "venv", str(aside)], checkout)
            install = ["-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet", "--no-compile"]
            _run([str(aside / "bin" / "python"), *install, "--requirement", REQUIREMENTS], checkout)
    return folder


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        errors = [line for line in lines if line.startswith("ERROR")]
        raise OperationError(f"the releases of then cannot be installed: {(errors or lines)[-1]}")
