"""Jetson Linux (L4T), NVIDIA's Ubuntu for Jetson modules."""

from __future__ import annotations

from components.host.operating_system import (
    TIMESYNCD_OR_CHRONY,
    UNATTENDED_UPGRADES,
    UPDATE_CA_CERTIFICATES,
    Nvidia,
    OperatingSystem,
)

SYSTEM = OperatingSystem(
    name="jetson-linux",
    title="Jetson Linux",
    ids=("ubuntu",),
    nvidia=Nvidia(
        driver="it is part of JetPack: flash the host", toolkit="`apt install nvidia-container` (of JetPack)"
    ),
    time=TIMESYNCD_OR_CHRONY,
    first_boot="cloud-init",
    trust_store=UPDATE_CA_CERTIFICATES,
    updates=UNATTENDED_UPGRADES,
    only_on="nvidia-igpu",
)
