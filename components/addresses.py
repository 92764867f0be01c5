"""What an IP address is good for. Pure."""

from __future__ import annotations

import ipaddress

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

TAILNET = "100.64.0.0/10"
"""Addresses that Tailscale gives to its devices (RFC 6598); it drops those of anybody else."""


def parsed(text: str) -> IpAddress | None:
    """The address; None for a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def in_url(host: str) -> str:
    """A name or an address as a URL has it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def endpoint(host: str, port: int) -> str:
    """A name or an address with a port."""
    return f"{in_url(host)}:{port}"


def each(text: str) -> tuple[str, ...]:
    """Addresses or networks with commas between them, as K3s writes those of two families."""
    return tuple(text.split(","))


def families(text: str) -> tuple[int, ...]:
    """The IP version of each address or network in ``text``, in its order; none for a name."""
    found = (parsed(one.partition("/")[0]) for one in each(text))
    return tuple(address.version for address in found if address is not None)


def of_no_machine(address: IpAddress) -> str | None:
    """Why no machine can be reached at an address, from any other; None where one can."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return "it is an IPv4 address in the form of an IPv6 one"
    if address.is_unspecified:
        return "it means no address, or all of them"
    if address.is_multicast:
        return "it is a multicast address"
    if address.version == 4 and (address.is_reserved or str(address).startswith("0.")):
        return "it is a reserved address"
    return None


def of_this_machine(address: IpAddress) -> str | None:
    """Why an address does not lead from one machine to another; None where it does."""
    if address.is_loopback:
        return "it is the loopback address, at which each machine finds itself"
    if address.is_link_local:
        return "it is a link-local address, which is valid on one cable only"
    return of_no_machine(address)
