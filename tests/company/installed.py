"""The program as a company has it: a built wheel, installed into an environment that holds nothing else.

No network: what the wheel requires is linked from this environment, by the names that constraints.txt has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from stacks.project import PROGRAM_ROOT

_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")


def built(folder: Path, version: str = "", change: tuple[str, str, str] | None = None) -> Path:
    """A wheel of the working tree; with another ``version``, and with ``change`` (file, old, new), where given."""
    source = folder / "source"
    for name in _tracked():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROGRAM_ROOT / name, target)
    if version:
        _replace(source / "pyproject.toml", 'version = "0.1.0"', f'version = "{version}"')
    if change is not None:
        _replace(source / change[0], change[1], change[2])
    wheels = folder / "wheels"
    _run(
        [sys.executable, *_PIP, "wheel", "--no-index", "--no-build-isolation", "--no-deps", "-w", str(wheels), "."],
        source,
    )
    shutil.rmtree(source)
    (wheel,) = wheels.glob("*.whl")
    return wheel


@dataclass(frozen=True)
class Installed:
    """An environment that holds a wheel and what it requires."""

    prefix: Path

    @property
    def python(self) -> Path:
        return self.prefix / "bin" / "python"

    @property
    def edge(self) -> Path:
        return self.prefix / "bin" / "edge"


def install(wheel: Path, prefix: Path) -> Installed:
    """The wheel in a new environment. Fails where the wheel requires what constraints.txt lacks."""
    venv.create(prefix, with_pip=True, symlinks=True)
    own = Installed(prefix)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(prefix), "platbase": str(prefix)}))
    for entry in _required():
        if not (packages / entry.name).exists():
            (packages / entry.name).symlink_to(entry)
    _run([str(own.python), *_PIP, "install", "--no-index", "--no-compile", "--quiet", str(wheel)], prefix)
    return own


def surroundings(home: Path) -> dict[str, str]:
    """The variables of somebody who has a shell, and none of this project's."""
    keep = ("PATH", "HOME", "XDG_CACHE_HOME", "LANG", "EDGE_PULUMI", "GOPROXY", "GOFLAGS", "GONOSUMDB", "TMPDIR")
    own = {name: value for name, value in os.environ.items() if name in keep}
    return {**own, "GIT_CONFIG_GLOBAL": os.devnull, "PULUMI_HOME": str(home / "pulumi"), "NO_COLOR": "1"}


def _required() -> set[Path]:
    """What the packages of constraints.txt have put into this environment's folder of packages."""
    found = set()
    for line in (PROGRAM_ROOT / "constraints.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        package = distribution(line.partition("==")[0])
        for file in package.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__"):
                found.add(Path(str(package.locate_file(top))))
    return found


def _tracked() -> list[str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = _run(listed, PROGRAM_ROOT).split("\0")
    # A test of the wheel needs no test; and what was deleted is listed until it is committed.
    return [
        name for name in names if name and not name.startswith(("tests/", "lab/")) and (PROGRAM_ROOT / name).is_file()
    ]


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{old!r} is not in {file.name}"
    file.write_text(text.replace(old, new))


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
