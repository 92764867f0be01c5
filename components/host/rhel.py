"""Red Hat Enterprise Linux and what is built from its sources: AlmaLinux, CentOS Stream, Oracle Linux, Rocky Linux."""

from __future__ import annotations

from collections.abc import Sequence

from components.host.operating_system import UPDATE_CA_TRUST, HostFile, OperatingSystem, TimeService, chrony_conf


def _chrony(servers: Sequence[str]) -> HostFile:
    # Its chrony.conf reads no folder in /etc.
    return HostFile("/etc/chrony.conf", chrony_conf(servers), replaces=True)


SYSTEM = OperatingSystem(
    name="rhel",
    title="RHEL",
    ids=("rhel", "almalinux", "centos", "ol", "rocky"),
    # 8 and older boot with cgroup v1, and their kernel has no WireGuard.
    releases=("9", "10"),
    time=(TimeService("chronyd", _chrony),),
    first_boot="cloud-init",
    trust_store=UPDATE_CA_TRUST,
    selinux=True,
)
