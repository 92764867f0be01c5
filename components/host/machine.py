"""A host as every part of a site sees it: what the site file says of it, and what its hardware profile adds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from components.host.spec import Accelerator, Envelope, HardwareProfile, HostSpec, OsSpec
from components.host.systems import system_of
from components.types import Arch

if TYPE_CHECKING:
    from components.host.operating_system import OperatingSystem


UNKNOWN = HardwareProfile(
    vendor="unknown",
    model="unknown",
    arch="amd64",
    cores=1,
    memory_mib=1,
    disk_gib=1,
    tpm=False,
    secure_boot=False,
    envelope=Envelope(cooling="passive", max_ambient_c=0, sustained_watts=1, base_watts=1),
    sources=dict.fromkeys(("cores", "memory_mib", "disk_gib", "tpm", "secure_boot", "envelope"), "no profile"),
)
"""In place of a profile that the site file names and the catalogue lacks: nothing is to be concluded from it."""


@dataclass(frozen=True)
class Machine:
    """One host of a site."""

    index: int
    """Position in the site file's list of hosts."""
    node: str
    """Its one name outside the site: host name, Kubernetes node name, name in the mesh."""
    spec: HostSpec
    os: OsSpec
    """What it runs: the site's `os`, with what the host's own says instead."""
    hardware: HardwareProfile
    accelerators: Mapping[str, Accelerator] = field(default_factory=dict)
    """By name: those of the box, then those that were added to it."""
    former: tuple[str, ...] = ()
    """Names outside the site that it had before, by `renamed_from`."""
    jump_node: str | None = None
    """Name outside the site of the host through which SSH reaches this one."""

    @property
    def name(self) -> str:
        """Name within the site."""
        return self.spec.name

    @property
    def known(self) -> bool:
        """Whether the catalogue has its hardware. Rules judge no figure of one that is unknown."""
        return self.hardware is not UNKNOWN

    @property
    def arch(self) -> Arch:
        return self.hardware.arch

    @property
    def node_address(self) -> str:
        """Where the other nodes reach it."""
        return self.spec.node_ip or self.spec.address

    @property
    def is_server(self) -> bool:
        """Whether it is part of the control plane."""
        return self.spec.role == "server"

    @property
    def system(self) -> OperatingSystem:
        """How its operating system does things."""
        return system_of(self.os)
