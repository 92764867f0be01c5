"""The operating systems that hosts may run, by the name that a site file uses."""

from __future__ import annotations

from typing import get_args

from components.host import debian, fedora_coreos, flatcar, jetson_linux, rhel, sle, ubuntu
from components.host.operating_system import OperatingSystem
from components.host.spec import Distribution, OsSpec

SYSTEMS: dict[str, OperatingSystem] = {
    module.SYSTEM.name: module.SYSTEM for module in (flatcar, fedora_coreos, jetson_linux, debian, ubuntu, rhel, sle)
}
if set(SYSTEMS) != set(get_args(Distribution)):
    raise ImportError(f"`os.distribution` and the modules of components/host differ: {set(SYSTEMS)}")


def system_of(os: OsSpec) -> OperatingSystem:
    """What ``os`` names."""
    return SYSTEMS[os.distribution]
