"""Updates of the operating system: a timer that begins with the host's window, and what it runs. Pure."""

from __future__ import annotations

from components.host.machine import Machine
from components.shell import without_prelude

TIMER = "edge-os-updates.timer"
_UNITS = "/etc/systemd/system"

_SERVICE = """\
[Unit]
Description=Updates of the operating system, in its window
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart={program}
# Packages that are being installed are not interrupted; the script begins no reboot after the window.
TimeoutStartSec=infinity
"""

_DONE = """\
[Unit]
Description=What is left to do after a reboot into updates
ConditionPathExists=/etc/rancher/k3s/k3s.yaml
After=k3s.service

[Service]
Type=exec
ExecStart={program} done
Restart=on-failure
RestartSec=1min

[Install]
WantedBy=multi-user.target
"""

_TIMER = """\
[Unit]
Description=Window for updates of the operating system

[Timer]
OnCalendar={day} *-*-* {time}:00
AccuracySec=1s
# A host that was off does not catch up: its window is over.
Persistent=false

[Install]
WantedBy=timers.target
"""

DONE = "edge-os-updates-done.service"
"""Takes off the lock after a reboot."""


def files(machine: Machine) -> dict[str, tuple[str, str]]:
    """Path -> mode and text of what the host needs for it, beside the system's own configuration."""
    updates, window = machine.system.updates, machine.reboots
    program = f"{machine.system.bin_dir}/edge-os-updates"
    script = without_prelude(
        "host/os_updates.sh.j2",
        node=machine.node,
        kubernetes_node=machine.kubernetes_node,
        install=updates.install,
        reboot_needed=updates.reboot_needed,
        reboot=updates.reboot,
        seconds=window.minutes * 60,
    )
    own = updates.program_of_ours
    return {
        program: ("0755", script),
        f"{_UNITS}/edge-os-updates.service": ("0644", _SERVICE.format(program=program)),
        f"{_UNITS}/{DONE}": ("0644", _DONE.format(program=program)),
        f"{_UNITS}/{TIMER}": ("0644", _TIMER.format(day=window.day, time=window.time)),
        **({own[0]: ("0755", without_prelude(own[1]))} if own else {}),
        **{f"{_UNITS}/{name}": ("0644", text) for name, text in updates.units.items()},
    }


def started(machine: Machine) -> tuple[str, ...]:
    """Units of ours that are active all the time."""
    return (TIMER, *(name for name, text in machine.system.updates.units.items() if "[Install]" in text))
