"""What a site was built from, as one hash: its file together with the program that read it.

It is an output of every site's stack. Where it is the same and no resource differs, another `up` would write nothing:
the order of resources, their timeouts and protections are in the state, but no preview shows that they have changed.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from stacks.catalogue import PROJECT_ROOT
from stacks.site import SiteSpec

OUTPUT = "built_from"
_DIGITS = 16
# Site files count by the values that were read from them: a comment makes no difference.
_PROGRAM = (
    "*.py",
    "constraints.txt",
    "components/**/*",
    "sitefile/*.py",
    "stacks/**/*.py",
    "stacks/profiles/**/*",
)
_CACHE = "__pycache__"


def built_from(spec: SiteSpec, root: Path = PROJECT_ROOT) -> str:
    """16 hexadecimal digits. Equal for equal sites in equal programs, on every machine."""
    made = hashlib.sha256(_program(root))
    made.update(spec.model_dump_json().encode())
    return made.hexdigest()[:_DIGITS]


@functools.lru_cache(maxsize=1)
def _program(root: Path) -> bytes:
    made = hashlib.sha256()
    for pattern in _PROGRAM:
        for path in sorted(path for path in root.glob(pattern) if path.is_file() and _CACHE not in path.parts):
            content = path.read_bytes()
            made.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
            made.update(content)
    return made.digest()
