"""Debian, and Raspberry Pi OS, which is Debian."""

from __future__ import annotations

from components.host.operating_system import (
    NVIDIA_PACKAGES,
    TIMESYNCD_OR_CHRONY,
    UNATTENDED_UPGRADES,
    UPDATE_CA_CERTIFICATES,
    OperatingSystem,
)

SYSTEM = OperatingSystem(
    name="debian",
    title="Debian",
    ids=("debian", "raspbian"),
    nvidia=NVIDIA_PACKAGES,
    time=TIMESYNCD_OR_CHRONY,
    first_boot="cloud-init",
    apt=True,
    trust_store=UPDATE_CA_CERTIFICATES,
    updates=UNATTENDED_UPGRADES,
)
