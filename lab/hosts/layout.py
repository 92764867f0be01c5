"""Names, addresses and folders of one lab. Pure: two labs with different layouts never touch each other's things."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from lab.hosts.system import BadInput

DEFAULT_FOLDER = Path("/run/edge-lab")
DEFAULT_NAME = "edgelab"
DEFAULT_SUBNET = "10.99.0.0/24"

FIRST_HOST = 11
"""Hosts are numbered from here within the subnet; .1 is the machine."""

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class Layout:
    """Everything that a lab is called by. ``folder`` holds its state, its keys and its hosts' disks."""

    folder: Path
    name: str
    subnet: ipaddress.IPv4Network

    @property
    def bridge(self) -> str:
        """The bridge in the machine's own network namespace, to which every host is plugged."""
        return f"{self.name}0"

    @property
    def gateway(self) -> str:
        """The machine's address on the bridge, without the prefix length."""
        return str(self.subnet[1])

    def address(self, number: int) -> str:
        """Address of the host with that number."""
        return str(self.subnet[number])

    @property
    def subnet6(self) -> ipaddress.IPv6Network:
        """Its network in IPv6, private and made of the one in IPv4."""
        return ipaddress.IPv6Network((0xFDED << 112 | int(self.subnet.network_address) << 80, 64))

    @property
    def gateway6(self) -> str:
        """The machine's IPv6 address on the bridge."""
        return str(self.subnet6[1])

    def address6(self, number: int) -> str:
        """IPv6 address of the host with that number."""
        return str(self.subnet6[number])

    def link(self, number: int) -> str:
        """The machine's end of that host's cable."""
        return f"{self.name}-{number}"

    def slow_port(self, number: int) -> str:
        """Where that host is plugged to the bridge while its cable is slow."""
        return f"{self.link(number)}s"

    def slow_label(self, number: int) -> str:
        """Name of the control groups of what carries for a slow cable. No host is called so: it has a dot."""
        return f"{self.link(number)}.slow"

    def label(self, host: str) -> str:
        """Name of that host's control groups."""
        return f"{self.name}-{host}"

    def host_folder(self, host: str) -> Path:
        """Where that host's disk, keys and log are."""
        return self.folder / "hosts" / host


def layout(folder: Path, name: str, subnet: str) -> Layout:
    """A checked layout. Raises BadInput for names that do not fit where they are used."""
    if not re.fullmatch(r"[a-z][a-z0-9]{0,9}", name):
        # 15 characters is all that a network link's name may have, and the number needs four of them. No hyphens: the
        # lab `x` must never take `x-y-a` of a lab `x-y` for its own.
        raise BadInput(f"lab name {name!r}: expected a letter, then up to 9 letters or digits, all lower case")
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise BadInput(f"subnet {subnet!r}: {error}") from None
    if not 16 <= network.prefixlen <= 24 or not network.is_private:
        raise BadInput(f"subnet {subnet}: expected a private network of /16 to /24")
    return Layout(folder.absolute(), name, network)


def check_host_name(host: str) -> None:
    """Raises BadInput for what cannot be a host's name."""
    if not _HOST_NAME.fullmatch(host):
        raise BadInput(f"host name {host!r}: expected lower-case letters, digits and inner hyphens, at most 32 of them")
