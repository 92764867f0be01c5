"""Jetson Linux (L4T), NVIDIA's Ubuntu for Jetson modules."""

from __future__ import annotations

from components.host.operating_system import OperatingSystem, timesyncd

SYSTEM = OperatingSystem(
    name="jetson-linux",
    title="Jetson Linux",
    ids=("ubuntu",),
    time_unit="systemd-timesyncd",
    time_config=timesyncd,
    first_boot="cloud-init",
    only_on="nvidia-igpu",
)
