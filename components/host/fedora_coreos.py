"""Fedora CoreOS."""

from __future__ import annotations

from collections.abc import Sequence

from components.host.operating_system import HostFile, OperatingSystem, TrustStore
from components.host.spec import UpdateWindow


def _chrony(servers: Sequence[str]) -> HostFile:
    lines = "".join(f"server {server} iburst\n" for server in servers)
    return HostFile("/etc/chrony.conf", f"{lines}driftfile /var/lib/chrony/drift\nmakestep 1.0 3\nrtcsync\n")


def _zincati(updates: UpdateWindow) -> HostFile:
    day, start = updates.window.split()
    return HostFile(
        "/etc/zincati/config.d/55-edge-window.toml",
        '[updates]\nstrategy = "periodic"\n\n[updates.periodic]\ntime_zone = "localtime"\n\n'
        f'[[updates.periodic.window]]\ndays = ["{day}"]\nstart_time = "{start}"\n'
        f"length_minutes = {updates.hours * 60}\n",
    )


SYSTEM = OperatingSystem(
    name="fedora-coreos",
    title="Fedora CoreOS",
    ids=("fedora", "fcos"),
    time_unit="chronyd",
    time_config=_chrony,
    first_boot="ignition",
    trust_store=TrustStore(
        "/etc/pki/ca-trust/source/anchors", ".pem", ("update-ca-trust", "extract"), "the package ca-certificates"
    ),
    update_unit="zincati",
    update_config=_zincati,
    # Clevis runs in the initramfs. Source: Fedora CoreOS' documentation on storage.
    tpm_unlock_memory_mib=4096,
)
