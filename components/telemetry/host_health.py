"""Links of network cards and wear of SSDs: what looks at them on a host, and where a collector reads it. Pure.

A pod sees the cards of its own network only, and a disk tells its wear to root. So a timer of the host looks, and
writes one file into a folder that the host's collector may read.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.expected import Expected, file, unit
from components.host.machine import Machine
from components.shell import Script, fragment, here_document, render, without_prelude
from components.telemetry.host_folder import HostFolder

ROLE = "health"
"""Of the command that installs it."""
FOLDER = HostFolder("host-health", "/var/lib/edge/health")

_SERVICE = "edge-host-health.service"
_TIMER = "edge-host-health.timer"
_UNITS = "/etc/systemd/system"

_SERVICE_TEXT = """\
[Unit]
Description=Links of network cards and wear of SSDs, for the collector

[Service]
Type=oneshot
ExecStart={program}
TimeoutStartSec=600
# No line in the journal each minute.
LogLevelMax=notice
"""

_TIMER_TEXT = """\
[Unit]
Description=Looks at network cards and SSDs each minute

[Timer]
OnCalendar=minutely
AccuracySec=10s

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True)
class HealthPlan:
    """The scripts of one host."""

    install: str
    remove: str
    """Takes away what ``install`` left."""
    expected: tuple[Expected, ...]
    """What ``install`` leaves."""


def plan(machine: Machine) -> HealthPlan:
    """Scripts for one host."""
    program = f"{machine.system.bin_dir}/edge-host-health"
    files = {
        program: ("0755", without_prelude("telemetry/host_health.sh.j2", folder=FOLDER.path)),
        f"{_UNITS}/{_SERVICE}": ("0644", _SERVICE_TEXT.format(program=program)),
        f"{_UNITS}/{_TIMER}": ("0644", _TIMER_TEXT),
    }
    values = {"node": machine.node, "folder": FOLDER.path, "service": _SERVICE, "timer": _TIMER}
    return HealthPlan(
        install=render(
            "telemetry/host_health_install.sh.j2",
            **values,
            program=program,
            files={path: (mode, here_document(text)) for path, (mode, text) in files.items()},
        ),
        remove=render(
            "telemetry/host_health_remove.sh.j2",
            **values,
            kubernetes_node=machine.kubernetes_node,
            paths=list(files),
        ),
        expected=(
            *(one for path, (mode, text) in files.items() for one in file(path, mode, text)),
            *unit(_TIMER),
        ),
    )


def host_checks(machine: Machine) -> Script:
    """Says where the wear of SSDs cannot be measured, as a piece of the host's own gate (``Part.host_checks``). Disks
    of a virtual machine have none."""
    if machine.hardware.virtual:
        return Script()
    return fragment("telemetry/host_health_checks.sh.j2", node=machine.node, remedy=machine.system.smartctl)
