"""The cache of downloaded and built CLIs. An entry is built in a temporary folder, then renamed into place.

Does not know what is kept. The folder is outside the checkout, so that clones and branches share it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.obtain.progress import say

_ASIDE = ".unfinished-"


def root() -> Path:
    """`$XDG_CACHE_HOME/edge/pulumi`, by default `~/.cache/edge/pulumi`."""
    home = os.environ.get("XDG_CACHE_HOME")
    # The XDG specification has relative values ignored.
    base = Path(home) if home and os.path.isabs(home) else Path.home() / ".cache"
    return base / "edge" / "pulumi"


@contextmanager
def filling(destination: Path, what: str = "the Pulumi CLI") -> Iterator[Path]:
    """A folder to fill, which becomes `destination` when the block ends without an error, and is removed otherwise.

    One process fills at a time, and removes first what a killed process left behind. The block may find `destination`
    there already, filled by the process that it waited for: check again inside. `what` is shown while waiting.
    """
    parent = destination.parent
    parent.mkdir(parents=True, exist_ok=True)
    with open(parent / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another process is getting {what} into {parent}; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in parent.glob(_ASIDE + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=parent))
        try:
            yield aside
            if not destination.exists() and any(aside.iterdir()):
                aside.rename(destination)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
