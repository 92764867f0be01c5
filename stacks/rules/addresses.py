"""Addresses of one site: which host has which, and networks that must not overlap.

Pure. Networks of different sites are in ``between_sites``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from components.addresses import IpAddress, each, families, of_this_machine, parsed
from components.host.spec import HostSpec
from components.view import Network
from sitefile.problems import DataPath, Finding, dotted
from stacks.parts import networks
from stacks.site import SiteSpec

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class _Range:
    """A network that a part uses, parsed."""

    of: Network
    network: IpNetwork


def findings(spec: SiteSpec) -> Iterator[Finding]:
    # The cluster's first: of two networks that overlap, the later one is the place to look at.
    cluster_first = sorted(networks(spec), key=lambda one: not one.of_cluster)
    ranges = [_Range(one, ipaddress.ip_network(one.cidr)) for one in cluster_first]
    yield from _duplicates(spec)
    yield from _overlaps(ranges)
    for path, address, whose in _addresses(spec):
        for inside in ranges:
            if inside.of.fixed and address in inside.network and path[-1] != "address":
                yield Finding(
                    path,
                    f"{address}, {whose}, lies in {inside.network}, {inside.of.fixed}: hosts drop what comes from there"
                    " and not through the mesh",
                    "an address of the site's own network",
                    "renumber the site's network, or write the address that it has beside that of the mesh",
                )
            if inside.of.of_cluster and address in inside.network:
                yield Finding(
                    path,
                    f"{address}, {whose}, lies in {dotted(inside.of.path)} {inside.network}",
                    f"an address outside of the {inside.of.role}: the cluster would keep its traffic to itself",
                    f"move {dotted(inside.of.path)} to another network, or take another address here",
                )
    yield from _nodes(spec, ranges)
    yield from _families(spec)


def _overlaps(ranges: list[_Range]) -> Iterator[Finding]:
    for earlier, later in combinations(ranges, 2):
        advertised = _is_meshed(earlier.of) and _is_meshed(later.of)
        # A route may give the mesh access to the network of a place: that is what it is for.
        # Devices of a mesh drop what comes from its addresses and did not come through it.
        fixed = earlier.of.fixed or later.of.fixed
        if not (earlier.of.of_cluster or later.of.of_cluster or advertised or fixed):
            continue
        if earlier.network.version != later.network.version or not earlier.network.overlaps(later.network):
            continue
        at, other = (earlier, later) if later.of.default and not earlier.of.default else (later, earlier)
        remedy = "move one of the two; the site's own networks are harder to move than the cluster's"
        if other.of.fixed:
            remedy = f"take another network for {dotted(at.of.path)}: the tailnet's is fixed"
        elif advertised:
            remedy = "advertise the wider one alone, or correct one of the two"
        yield Finding(
            at.of.path,
            f"{dotted(at.of.path)} {at.network} overlaps {_called(other)}",
            "networks that do not overlap",
            remedy,
        )


def _is_meshed(network: Network) -> bool:
    """Whether a mesh gives it out or routes it."""
    return network.mesh is not None or bool(network.fixed)


def _called(one: _Range) -> str:
    return f"{one.network}, {one.of.fixed}" if one.of.fixed else f"{dotted(one.of.path)} {one.network}"


def _duplicates(spec: SiteSpec) -> Iterator[Finding]:
    """Two hosts with one address. Behind different jump hosts the same address may be used again."""
    seen: dict[tuple[str, str | None], HostSpec] = {}
    for index, host in enumerate(spec.hosts):
        for key in ("address", "node_ip"):
            for address in filter(None, each(getattr(host, key) or "")):
                other = seen.setdefault((address, host.via if key == "address" else None), host)
                if other is host:
                    continue
                yield Finding(
                    ("hosts", index, key),
                    f"`{other.name}` has the address {address} as well",
                    "an address of its own for each host",
                    "correct one of the two",
                )


def _addresses(spec: SiteSpec) -> Iterator[tuple[DataPath, IpAddress, str]]:
    written: list[tuple[DataPath, str | None, str]] = []
    for index, host in enumerate(spec.hosts):
        written.append((("hosts", index, "address"), host.address, f"the address of `{host.name}`"))
        own = each(host.node_ip) if host.node_ip else ()
        written += [(("hosts", index, "node_ip"), one, f"the node address of `{host.name}`") for one in own]
    if spec.k3s:
        written.append((("k3s", "api_address"), spec.k3s.api_address, "the address of the API"))
    written += [(("os", "ntp_servers", at), server, "a time server") for at, server in enumerate(spec.os.ntp_servers)]
    for path, text, whose in written:
        if text is not None and (address := parsed(text)) is not None:
            yield path, address, whose


def _nodes(spec: SiteSpec, ranges: Sequence[_Range]) -> Iterator[Finding]:
    """Hosts without `node_ip`, whose `address` is also the one at which the other nodes find them."""
    if spec.k3s is None:
        return
    for index, host in enumerate(spec.hosts):
        address = parsed(host.address)
        if address is None or host.node_ip is not None:
            continue
        problem = of_this_machine(address)
        for inside in ranges:
            # The only node of a cluster is found by nobody.
            if inside.of.fixed and address in inside.network and len(spec.hosts) > 1:
                problem = f"it lies in {inside.network}, {inside.of.fixed}"
        if problem:
            yield Finding(
                ("hosts", index, "address"),
                f"the other nodes cannot find `{host.name}` at {address}: {problem}",
                "an address of the site's own network for traffic between nodes",
                "add `node_ip:` with the host's address in that network; `address` is then for SSH alone",
            )


def _families(spec: SiteSpec) -> Iterator[Finding]:
    """What K3s asks: networks of the same families in the same order, and nodes that have each of them."""
    if spec.k3s is None:
        return
    pods, services = families(spec.k3s.pod_cidr), families(spec.k3s.service_cidr)
    for index, host in enumerate(spec.hosts) if pods == services else ():
        key, text = ("node_ip", host.node_ip) if host.node_ip else ("address", host.address)
        nodes = families(text)
        if not nodes and 6 in pods:
            yield Finding(
                ("hosts", index, key),
                f"`{host.name}` has a name, and K3s would take an IPv4 address of it",
                "the addresses that the other nodes reach it by",
                f"add `node_ip:` with its {_named(pods)} address{'es' * (len(pods) > 1)}",
            )
        elif nodes and (nodes[0] != pods[0] or not {*pods} <= {*nodes}):
            networks = _named(pods[:1] if len(nodes) == 1 == len(pods) else pods)
            yield Finding(
                ("hosts", index, key),
                f"`{host.name}` has {_an_address(nodes)}, and pods have {networks} ones",
                "one family for nodes, pods and services" if len(pods) == 1 else "both families, in the same order",
                f"write the host's {_named(pods)} address{'es' * (len(pods) > 1)} as `node_ip`, or give `pod_cidr` and"
                f" `service_cidr` {_named(nodes)} networks",
            )
    if pods != services:
        written = [key for key in ("service_cidr", "pod_cidr") if key in spec.k3s.model_fields_set]
        yield Finding(
            ("k3s", written[0]),
            f"services have {_named(services)}, pods {_named(pods)}",
            "one family for both" if len(pods) == len(services) == 1 else "the same families for both, in one order",
            "give both networks the same family" if len(pods) == len(services) == 1 else "write both as the pods' are",
        )


def _an_address(versions: Sequence[int]) -> str:
    return f"an {_named(versions)} address" if len(versions) == 1 else f"{_named(versions)} addresses"


def _named(versions: Sequence[int]) -> str:
    return " and ".join(f"IPv{version}" for version in versions)
