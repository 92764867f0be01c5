"""Jetson Linux (L4T), NVIDIA's Ubuntu for Jetson modules."""

from __future__ import annotations

from components.host.operating_system import UPDATE_CA_CERTIFICATES, OperatingSystem, timesyncd

SYSTEM = OperatingSystem(
    name="jetson-linux",
    title="Jetson Linux",
    ids=("ubuntu",),
    time_unit="systemd-timesyncd",
    time_config=timesyncd,
    first_boot="cloud-init",
    trust_store=UPDATE_CA_CERTIFICATES,
    only_on="nvidia-igpu",
)
