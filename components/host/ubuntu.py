"""Ubuntu Server, on anything but a Jetson."""

from __future__ import annotations

from components.host.operating_system import (
    NVIDIA_PACKAGES,
    TIMESYNCD_OR_CHRONY,
    UNATTENDED_UPGRADES,
    UPDATE_CA_CERTIFICATES,
    Nvidia,
    OperatingSystem,
)

SYSTEM = OperatingSystem(
    name="ubuntu",
    title="Ubuntu",
    ids=("ubuntu",),
    nvidia=Nvidia(
        driver="`apt install nvidia-driver-580-server-open nvidia-utils-580-server`, of Ubuntu's own repository",
        toolkit=NVIDIA_PACKAGES.toolkit,
    ),
    # 20.04 and older boot with cgroup v1.
    releases=("22.04", "24.04"),
    time=TIMESYNCD_OR_CHRONY,
    first_boot="cloud-init",
    apt=True,
    trust_store=UPDATE_CA_CERTIFICATES,
    updates=UNATTENDED_UPGRADES,
)
