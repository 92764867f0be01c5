"""Red Hat Enterprise Linux and what is built from its sources: AlmaLinux, CentOS Stream, Oracle Linux, Rocky Linux."""

from __future__ import annotations

from collections.abc import Sequence

from components.host.operating_system import (
    NVIDIA_PACKAGES,
    UPDATE_CA_TRUST,
    HostFile,
    OperatingSystem,
    TimeService,
    Updates,
    chrony_conf,
)
from components.shell import Script


def _chrony(servers: Sequence[str]) -> HostFile:
    # Its chrony.conf reads no folder in /etc.
    return HostFile("/etc/chrony.conf", chrony_conf(servers), replaces=True)


_UPDATES = Updates(
    program="dnf-automatic",
    package="dnf-automatic",
    # What it takes is said in /etc/dnf/automatic.conf.
    # By itself it takes what a repository had said within the last day or two.
    install=Script("dnf --quiet makecache --refresh\ndnf-automatic --installupdates"),
    # Ends with 1 where a reboot is needed, and also where the plugin is missing: the gate has looked for that.
    reboot_needed=Script("! dnf needs-restarting --reboothint >/dev/null"),
    check=Script(
        "dnf needs-restarting --help >/dev/null 2>&1 ||\n"
        '  lack "dnf has no command needs-restarting" "install dnf-plugins-core"\n'
        "! grep -qE '^ *reboot *= *when-' /etc/dnf/automatic.conf 2>/dev/null ||\n"
        '  lack "dnf-automatic reboots by itself, in no window" "write reboot = never in /etc/dnf/automatic.conf"\n'
    ),
)

SYSTEM = OperatingSystem(
    name="rhel",
    title="RHEL",
    ids=("rhel", "almalinux", "centos", "ol", "rocky"),
    nvidia=NVIDIA_PACKAGES,
    # 8 and older boot with cgroup v1, and their kernel has no WireGuard.
    releases=("9", "10"),
    time=(TimeService("chronyd", _chrony),),
    first_boot="cloud-init",
    trust_store=UPDATE_CA_TRUST,
    updates=_UPDATES,
    selinux=True,
)
