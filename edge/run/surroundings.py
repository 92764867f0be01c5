"""What a `pulumi` process gets besides its arguments: a temporary folder of its own, and no dead SSH agent.

The official Kubernetes plugin writes the cluster's kubeconfig, with its client key, into the temporary folder, and does
not remove it. The official command plugin dials the agent of SSH_AUTH_SOCK even though it has a key, and fails where no
agent answers.
"""

from __future__ import annotations

import fcntl
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_PREFIX, _LOCK = "edge-run-", "lock"
_AGENT, _AGENT_ANSWERS_WITHIN_S = "SSH_AUTH_SOCK", 2


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for one run, removed when the context ends. Folders of runs that were killed are removed first."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        _remove_unused(left)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (folder / f".{_LOCK}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Only now has the folder a lock that others look at: it is never seen unlocked while it is in use.
            (folder / f".{_LOCK}").rename(folder / _LOCK)
            yield folder


def without_dead_agent(variables: Mapping[str, str]) -> dict[str, str]:
    """``variables`` without SSH_AUTH_SOCK where no agent answers at it."""
    kept = dict(variables)
    path = kept.get(_AGENT)
    if path is not None and not _answers(path):
        del kept[_AGENT]
    return kept


def _remove_unused(folder: Path) -> None:
    """Remove the folder of a run that has ended. The system releases a process's lock however the process ends."""
    try:
        with (folder / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        # In use, another user's, or removed by another process in the meantime.
        return


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(_AGENT_ANSWERS_WITHIN_S)
        try:
            agent.connect(path)
        except OSError:
            return False
    return True
