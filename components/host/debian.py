"""Debian, and Raspberry Pi OS, which is Debian."""

from __future__ import annotations

from components.host.operating_system import UPDATE_CA_CERTIFICATES, OperatingSystem, timesyncd

SYSTEM = OperatingSystem(
    name="debian",
    title="Debian",
    ids=("debian", "raspbian"),
    time_unit="systemd-timesyncd",
    time_config=timesyncd,
    first_boot="cloud-init",
    trust_store=UPDATE_CA_CERTIFICATES,
)
