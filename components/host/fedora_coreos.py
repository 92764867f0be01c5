"""Fedora CoreOS."""

from __future__ import annotations

from collections.abc import Sequence

from components.host.operating_system import (
    UPDATE_CA_TRUST,
    HostFile,
    OperatingSystem,
    TimeService,
    chrony_conf,
)
from components.host.reboots import RebootWindow


def _chrony(servers: Sequence[str]) -> HostFile:
    return HostFile("/etc/chrony.conf", chrony_conf(servers))


def _zincati(window: RebootWindow) -> HostFile:
    return HostFile(
        "/etc/zincati/config.d/55-edge-window.toml",
        '[updates]\nstrategy = "periodic"\n\n[updates.periodic]\ntime_zone = "localtime"\n\n'
        f'[[updates.periodic.window]]\ndays = ["{window.day}"]\nstart_time = "{window.time}"\n'
        f"length_minutes = {window.minutes}\n",
    )


SYSTEM = OperatingSystem(
    name="fedora-coreos",
    title="Fedora CoreOS",
    ids=("fedora", "fcos"),
    time=(TimeService("chronyd", _chrony),),
    first_boot="ignition",
    trust_store=UPDATE_CA_TRUST,
    update_unit="zincati",
    update_config=_zincati,
    selinux=True,
    # Clevis runs in the initramfs. Source: Fedora CoreOS' documentation on storage.
    tpm_unlock_memory_mib=4096,
)
