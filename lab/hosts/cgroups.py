"""Control groups: each host has one of its own at the top of every hierarchy, which is all that it sees of them.

They are also how `down` finds the processes of a host that another process started.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.hosts.system import LabError, wait_until

_ROOT = Path("/sys/fs/cgroup")
_GONE_S = 30.0


@dataclass(frozen=True)
class Hierarchy:
    """A mounted cgroup hierarchy: of version 1 with ``options`` that mount it once more, or the one of version 2."""

    path: Path
    kind: Literal["cgroup", "cgroup2"]
    options: str = "rw"

    @property
    def folder(self) -> str:
        """Where it is below /sys/fs/cgroup."""
        return str(self.path.relative_to(_ROOT))


def hierarchies(mountinfo: str | None = None) -> tuple[Hierarchy, ...]:
    """The machine's hierarchies, parents before children. Raises LabError when there are none."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    found: dict[Path, Hierarchy] = {}
    for line in text.splitlines():
        mounted, _, source = line.partition(" - ")
        path, (kind, _, options) = Path(mounted.split()[4]), source.split(" ", 2)
        if not path.is_relative_to(_ROOT):
            continue
        if kind == "cgroup":
            # Controllers and the name say which one it is; the rest is how it happened to be mounted first.
            named = [word for word in options.split(",") if word.startswith("name=")]
            found[path] = Hierarchy(path, "cgroup", ",".join(named) or path.name)
        elif kind == "cgroup2":
            # Beside those of version 1 as well: a host's systemd would find it, and take the machine's for its own.
            found[path] = Hierarchy(path, "cgroup2")
    if not found:
        raise LabError(f"no control groups are mounted below {_ROOT}")
    return tuple(found[path] for path in sorted(found))


def create(label: str) -> None:
    """Makes the group ``label`` in each hierarchy; one that is there already stays."""
    for hierarchy in hierarchies():
        group = hierarchy.path / label
        if hierarchy.path == _ROOT:
            # Version 2 alone: controllers have to be handed down. Beside version 1 there is nothing to control.
            for controller in (hierarchy.path / "cgroup.controllers").read_text().split():
                (hierarchy.path / "cgroup.subtree_control").write_text(f"+{controller}")
        group.mkdir(exist_ok=True)
        if hierarchy.kind == "cgroup" and (hierarchy.path / "cpuset.cpus").is_file():
            # No process may enter a v1 cpuset that has no CPUs and no memory yet.
            for name in ("cpuset.cpus", "cpuset.mems"):
                (group / name).write_text((hierarchy.path / name).read_text())


def inside(label: str, *command: str) -> list[str]:
    """The command that runs ``command`` in the group ``label``, with the very process that it is started as."""
    entrances = " ".join(str(hierarchy.path / label / "cgroup.procs") for hierarchy in hierarchies())
    enter = f'for entrance in {entrances}; do echo $$ >"$entrance" || exit 1; done; exec "$@"'
    return ["sh", "-c", enter, "enter", *command]


def labels(prefix: str) -> set[str]:
    """Groups on this machine whose names begin with ``prefix``."""
    return {group.name for hierarchy in hierarchies() for group in hierarchy.path.glob(f"{prefix}*") if group.is_dir()}


def processes(label: str) -> set[int]:
    """Every process in the group ``label``, as the machine numbers them."""
    found: set[int] = set()
    for hierarchy in hierarchies():
        # A group may go while it is being looked through: `os.walk` passes over it, where a glob would raise.
        for folder, _, _ in os.walk(hierarchy.path / label):
            with suppress(OSError):
                found.update(int(word) for word in Path(folder, "cgroup.procs").read_text().split())
    return found - {0}


def remove(label: str) -> None:
    """Kills what is left in the group ``label`` and removes it from every hierarchy."""

    def empty() -> bool:
        for pid in processes(label):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not processes(label) and all(_remove(hierarchy.path / label) for hierarchy in hierarchies())

    wait_until(empty, f"the processes of {label} are gone", deadline_s=_GONE_S)


def _remove(group: Path) -> bool:
    if not group.is_dir():
        return True
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            # Busy until the kernel has buried the last process in it.
            os.rmdir(folder)
    return not group.is_dir()
