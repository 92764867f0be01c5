"""What a site was built from, as one hash: its file together with the program that read it.

It is an output of every site's stack. Where it is the same and no resource differs, another `up` would write nothing:
the order of resources, their timeouts and protections are in the state, but no preview shows that they have changed.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from stacks.project import PROGRAM_ROOT, data_folder
from stacks.site import SiteSpec

OUTPUT = "built_from"
_DIGITS = 16
# Site files count by the values that were read from them: a comment makes no difference.
_PROGRAM = (
    "__main__.py",
    "constraints.txt",
    "components/**/*",
    "sitefile/*.py",
    "stacks/**/*.py",
    "stacks/profiles/**/*",
)
_CACHE = "__pycache__"


def built_from(spec: SiteSpec, root: Path = PROGRAM_ROOT, project: Path | None = None) -> str:
    """16 hexadecimal digits. Equal for equal sites in equal programs, on every machine.

    ``root`` has the program. ``project`` is the repository with the sites, where that is another one: its own code and
    profiles count too.
    """
    made = hashlib.sha256(_program(root))
    if project is not None and project.resolve() != root.resolve():
        made.update(_company(project))
    made.update(spec.model_dump_json().encode())
    return made.hexdigest()[:_DIGITS]


@functools.lru_cache(maxsize=1)
def _program(root: Path) -> bytes:
    patterns = (sorted(root.glob(pattern)) for pattern in _PROGRAM)
    return _hash(root, (path for paths in patterns for path in paths if path.is_file() and _CACHE not in path.parts))


@functools.lru_cache(maxsize=1)
def _company(project: Path) -> bytes:
    return _hash(project, _own_files(project))


def _own_files(project: Path) -> Iterator[Path]:
    """A company's own code and profiles. Folders of tools (`.venv`, `.git`) are none, nor are the policies."""
    for folder, below, names in os.walk(project):
        here = Path(folder)
        below[:] = sorted(name for name in below if _is_own(here / name) and here / name != project / "policies")
        yield from (here / name for name in sorted(names) if name.endswith(".py"))
    yield from sorted(path for path in (data_folder(project) / "profiles").rglob("*") if path.is_file())


def _is_own(folder: Path) -> bool:
    return folder.name[0] != "." and folder.name != _CACHE and not (folder / "pyvenv.cfg").exists()


def _hash(root: Path, files: Iterable[Path]) -> bytes:
    made = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        made.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        made.update(content)
    return made.digest()
