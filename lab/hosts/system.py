"""This machine: programs that are run on it, what it has to have, and waiting for it. Knows nothing of labs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

_POLL_S = 0.05
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
# Three hosts with pods take about 120, a default on many machines is 128.
_INOTIFY_INSTANCES = 1024

PACKAGES = {
    "busybox": "busybox-static",
    "debootstrap": "debootstrap",
    "gcc": "gcc",
    "ip": "iproute2",
    "losetup": "mount",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
    "nsenter": "util-linux",
    "pivot_root": "util-linux",
    "setsid": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sysctl": "procps",
    "unshare": "util-linux",
}
"""Debian package of each program that the lab runs."""


class LabError(Exception):
    """Something that the lab cannot do. The message is for people: what is wrong, and what to do."""


class BadInput(LabError):
    """Something that cannot be asked of any lab: a name or a number that does not fit."""


def require_root() -> None:
    """Raises LabError unless this process can make namespaces, mounts and links."""
    if not sys.platform.startswith("linux"):
        raise LabError("the lab's hosts are Linux namespaces: run this on Linux")
    if os.geteuid() != 0:
        raise LabError("the lab makes namespaces, mounts and network links: run this as root")


def require_tools(names: Iterable[str]) -> None:
    """Raises LabError with the command that installs whichever of ``names`` is missing."""
    missing = sorted(name for name in names if shutil.which(name) is None)
    if missing:
        packages = " ".join(sorted({PACKAGES[name] for name in missing}))
        raise LabError(f"not installed here: {', '.join(missing)}. Debian: apt install {packages}")


def run(
    command: Sequence[str], *, check: bool = True, timeout_s: float = 60, holding: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program of this machine. Raises LabError with its own words where it fails and ``check`` is set.

    ``holding`` are descriptors (of locks) that the program keeps open until it ends.
    """
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            pass_fds=holding,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(command)}` was not done within {timeout_s:g} s") from None
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise LabError(f"`{' '.join(command)}` failed: {said}")
    return done


def raise_inotify_limit() -> None:
    """Room for the watches of several hosts with pods: all of them share this machine's limit. It is not taken back.

    Raises LabError where the limit is too low and this machine does not let it be raised.
    """
    if int(_INOTIFY.read_text()) >= _INOTIFY_INSTANCES:
        return
    try:
        _INOTIFY.write_text(str(_INOTIFY_INSTANCES))
    except OSError as error:
        raise LabError(f"{_INOTIFY} must be at least {_INOTIFY_INSTANCES}, and cannot be written: {error}") from None


def wait_until(condition: Callable[[], bool], what: str, *, deadline_s: float, poll_s: float = _POLL_S) -> None:
    """Returns as soon as ``condition`` holds. Raises LabError naming ``what`` if it still does not at the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"waited {deadline_s:g} s for this, in vain: {what}")
        time.sleep(poll_s)


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log file; empty when there is none."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
