"""Updates of a system that is made of packages: a timer that begins with the host's window, and what it runs. Pure."""

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
    """Path -> mode and text of what the host needs for it. Empty where its updates are not ours, or no packages."""
    packages, window = machine.system.packages, machine.reboots
    if packages is None or not machine.os.updates.managed:
        return {}
    program = f"{machine.system.bin_dir}/edge-os-updates"
    script = without_prelude(
        "host/os_updates.sh.j2",
        node=machine.node,
        kubernetes_node=machine.kubernetes_node,
        k3s=f"{machine.system.bin_dir}/k3s",
        install=packages.install,
        reboot_needed=packages.reboot_needed,
        seconds=window.minutes * 60,
    )
    return {
        program: ("0755", script),
        f"{_UNITS}/edge-os-updates.service": ("0644", _SERVICE.format(program=program)),
        f"{_UNITS}/{DONE}": ("0644", _DONE.format(program=program)),
        f"{_UNITS}/{TIMER}": ("0644", _TIMER.format(day=window.day, time=window.time)),
        **({packages.config.path: ("0644", packages.config.text)} if packages.config else {}),
    }
