"""Power: a host is on while its first process lives. On puts the namespaces together, off kills that process."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from lab.hosts import cgroups, disk, network
from lab.hosts.layout import Layout
from lab.hosts.system import LabError, tail, wait_until

_BOOT = Path(__file__).with_name("boot.sh")
_START_S = 30.0

_NAMESPACES = ("--cgroup", "--mount", "--uts", "--ipc", "--net", "--pid")

_started: dict[Path, subprocess.Popen[bytes]] = {}
"""Hosts that this very process switched on, by folder: their launchers are its children, and are buried by it."""


def process(folder: Path) -> int | None:
    """The number by which this machine knows the first process of the host in ``folder``; None when it is off."""
    try:
        pid, started = (folder / "pid").read_text().split()
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    # Numbers are given again: the time at which the process started tells them apart. Z and X are dead already.
    return int(pid) if after_name[19] == started and after_name[0] not in "ZX" else None


def on(layout: Layout, host: str, number: int, image: Path, *, plugged: bool) -> None:
    """Switches ``host`` on: returns when its systemd has started. Nothing when it is on already."""
    folder = layout.host_folder(host)
    if (pid := process(folder)) is not None and _program(pid) == "systemd":
        return
    # What another life left: a host that powered itself off, or a start whose starter was killed.
    off(layout, host, number)
    label = layout.label(host)
    cgroups.create(label)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LAB_CGROUPS": "\n".join(f"{one.folder} {one.kind} {one.options}" for one in cgroups.hierarchies()),
        "LAB_HOST": str(folder),
        "LAB_IMAGE": str(image),
    }
    unshare = ("unshare", *_NAMESPACES, "--fork", "--kill-child", "--propagation", "private")
    log = folder / "boot.log"
    with log.open("wb") as output:
        launcher = subprocess.Popen(
            # In the host's control groups first: the namespace made after that has them as its roots.
            cgroups.inside(label, *unshare, "bash", str(_BOOT)),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    _started[folder] = launcher
    wait_until(
        lambda: process(folder) is not None or launcher.poll() is not None, f"{host} starts", deadline_s=_START_S
    )
    pid = process(folder)
    assert launcher.stdin is not None
    with suppress(BrokenPipeError), launcher.stdin as standard_input:
        if pid is not None:
            network.plug_in(layout, number, pid, up=plugged)
            standard_input.write(b"go\n")
    # Until then it could be entered before it has a root of its own.
    wait_until(
        lambda: launcher.poll() is not None or (pid is not None and _program(pid) == "systemd"),
        f"systemd of {host} starts",
        deadline_s=_START_S,
    )
    if launcher.poll() is not None:
        raise LabError(f"{host} did not start:\n{tail(log) or '(it said nothing)'}")


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def off(layout: Layout, host: str, number: int) -> None:
    """Cuts the power: every process of ``host`` ends at once, unasked. Returns when nothing is left but its disk."""
    folder = layout.host_folder(host)
    # The cable first: the kernel closes the connections of a killed process, and a machine without power does not.
    network.ease(layout, number)
    network.unplug(layout, layout.link(number))
    if (pid := process(folder)) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cgroups.remove(layout.label(host))
    if launcher := _started.pop(folder, None):
        launcher.wait()
    (folder / "pid").unlink(missing_ok=True)
    disk.wait_released(folder)
