"""A host as every part of a site sees it: what the site file says of it, and what its hardware profile adds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from components import addresses
from components.host.reboots import RebootWindow, whole
from components.host.spec import Accelerator, BastionSpec, Envelope, HardwareProfile, HostSpec, OsSpec, SshSpec
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
    """Its one name outside the site: host name, name in the mesh, and Kubernetes node, unless it was renamed."""
    spec: HostSpec
    os: OsSpec
    """What it runs: the site's `os`, with what the host's own says instead."""
    hardware: HardwareProfile
    accelerators: Mapping[str, Accelerator] = field(default_factory=dict)
    """By name: those of the box, then those that were added to it."""
    jump_node: str | None = None
    """Name outside the site of the host through which SSH reaches this one."""
    part_of_window: RebootWindow | None = None
    """Its part of a window that it shares with other servers."""
    interface: str | None = None
    """Network card that other nodes reach it by; None for that of the default route."""
    ssh: SshSpec = field(default_factory=SshSpec)
    """How it is reached: the site's `ssh`, with what the host's own says instead."""
    bastion: BastionSpec | None = None
    """The machine outside the site through which SSH reaches it."""

    @property
    def name(self) -> str:
        """Name within the site."""
        return self.spec.name

    @property
    def installed_name(self) -> str:
        """Name within the site under which it was installed. What Kubernetes holds under it keeps it."""
        return self.spec.renamed_from or self.spec.name

    @property
    def kubernetes_node(self) -> str:
        """Name of its Kubernetes node, which cannot be changed: a node with another name is another node."""
        return f"{self.site}-{self.installed_name}"

    @property
    def former(self) -> tuple[str, ...]:
        """Names outside the site that it had before."""
        return (self.kubernetes_node,) if self.spec.renamed_from else ()

    @property
    def site(self) -> str:
        """Id of its site."""
        return self.node.removesuffix(f"-{self.spec.name}")

    @property
    def devices(self) -> Mapping[str, Accelerator]:
        """By name, what its pods are given one of: accelerators, or the parts into which MIG has cut them."""
        return dict(self._devices())

    def _devices(self) -> Iterator[tuple[str, Accelerator]]:
        for name, one in self.accelerators.items():
            profile = one.mig.get(self.spec.mig) if self.spec.mig else None
            if profile is None:
                yield name, one
                continue
            part = one.model_copy(update={"memory_mib": profile.memory_mib, "tops_int8": profile.tops_int8})
            for number in range(1, profile.instances + 1):
                yield f"{self.spec.mig} {number} of {name}", part

    @property
    def known(self) -> bool:
        """Whether the catalogue has its hardware. Rules judge no figure of one that is unknown."""
        return self.hardware is not UNKNOWN

    @property
    def arch(self) -> Arch:
        return self.hardware.arch

    @property
    def node_addresses(self) -> tuple[str, ...]:
        """Where the other nodes reach it: one address, or one of each family; or a name."""
        return addresses.each(self.spec.node_ip or self.spec.address)

    @property
    def node_address(self) -> str:
        """Where the other nodes reach it, by the family that the cluster prefers."""
        return self.node_addresses[0]

    @property
    def is_server(self) -> bool:
        """Whether it is part of the control plane."""
        return self.spec.role == "server"

    @property
    def reboots(self) -> RebootWindow:
        """When it may reboot into updates."""
        return self.part_of_window or whole(self.os.updates)

    @property
    def system(self) -> OperatingSystem:
        """How its operating system does things."""
        return system_of(self.os)
