"""Addresses of one site: who has which, and networks that must not meet.

Pure. Networks of different sites are in ``between_sites``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from components.host.spec import HostSpec
from components.mesh.tailscale.spec import TailscaleSpec
from components.place.outposts.plan import address_problem
from components.place.outposts.spec import InstanceCompute, OutpostsSpec
from sitefile.problems import DataPath, Finding, dotted
from stacks.site import SiteSpec

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

TAILNET = ipaddress.ip_network("100.64.0.0/10")
"""Addresses that Tailscale gives to its devices (RFC 6598)."""


@dataclass(frozen=True)
class _Range:
    path: DataPath
    network: Network
    role: str
    of_cluster: bool
    """Made by the cluster, so that nothing else at the site may be in it."""
    default: bool = False
    """Nobody wrote it: of two that overlap, the other one is the place to look at."""


def findings(spec: SiteSpec) -> Iterator[Finding]:
    ranges = list(_ranges(spec))
    yield from _duplicates(spec)
    yield from _overlaps(ranges)
    for path, address, whose in _addresses(spec):
        for inside in ranges:
            if inside.of_cluster and address in inside.network:
                yield Finding(
                    path,
                    f"{address}, {whose}, lies in {dotted(inside.path)} {inside.network}",
                    f"an address outside of the {inside.role}: the cluster would keep its traffic to itself",
                    f"move {dotted(inside.path)} to another network, or take another address here",
                )
    yield from _families(spec)
    yield from _api_address(spec)
    yield from _outpost(spec)


def _ranges(spec: SiteSpec) -> Iterator[_Range]:
    if spec.k3s:
        for key, role in (("pod_cidr", "network of the pods"), ("service_cidr", "network of the services")):
            network = ipaddress.ip_network(getattr(spec.k3s, key))
            yield _Range(("k3s", key), network, role, True, key not in spec.k3s.model_fields_set)
    if isinstance(spec.mesh, TailscaleSpec):
        yield _Range(("mesh", "kind"), TAILNET, "network of the tailnet's devices", False, True)
        for index, route in enumerate(spec.mesh.advertise_routes):
            path = ("mesh", "advertise_routes", index)
            yield _Range(path, ipaddress.ip_network(route), "network that the mesh routes", False)
    if isinstance(spec.registration, OutpostsSpec):
        outpost = spec.registration
        yield _Range(
            ("registration", "subnet_cidr"), ipaddress.ip_network(outpost.subnet_cidr), "Outpost's subnet", False
        )
        for index, text in enumerate(outpost.local_gateway.on_premises):
            place = ("registration", "local_gateway", "on_premises", index)
            yield _Range(place, ipaddress.ip_network(text), "network behind the local gateway", False)


def _overlaps(ranges: list[_Range]) -> Iterator[Finding]:
    for earlier, later in combinations(ranges, 2):
        advertised = earlier.path[0] == later.path[0] == "mesh"
        # That the mesh reaches the Outpost's subnet is the point of a route.
        if not (earlier.of_cluster or later.of_cluster or advertised):
            continue
        if earlier.network.version != later.network.version or not earlier.network.overlaps(later.network):
            continue
        at, other = (earlier, later) if later.default and not earlier.default else (later, earlier)
        remedy = "move one of the two; the site's own networks are harder to move than the cluster's"
        if other.network == TAILNET:
            remedy = f"take another network for {dotted(at.path)}: the tailnet's is fixed"
        elif advertised:
            remedy = "advertise the wider one alone, or correct one of the two"
        yield Finding(
            at.path,
            f"{dotted(at.path)} {at.network} overlaps {_called(other)}",
            "networks that do not overlap",
            remedy,
        )


def _called(one: _Range) -> str:
    if one.path == ("mesh", "kind"):
        return f"{one.network}, the addresses of the tailnet's devices"
    return f"{dotted(one.path)} {one.network}"


def _duplicates(spec: SiteSpec) -> Iterator[Finding]:
    """Two hosts at one address; behind another host an address may come again."""
    seen: dict[tuple[str, str | None], HostSpec] = {}
    for index, host in enumerate(spec.hosts):
        for key in ("address", "node_ip"):
            address = getattr(host, key)
            if address is None:
                continue
            other = seen.setdefault((address, host.via if key == "address" else None), host)
            if other is not host:
                yield Finding(
                    ("hosts", index, key),
                    f"`{other.name}` has the address {address} as well",
                    "an address of its own for each host",
                    "correct one of the two",
                )


def _addresses(spec: SiteSpec) -> Iterator[tuple[DataPath, Address, str]]:
    written: list[tuple[DataPath, str | None, str]] = []
    for index, host in enumerate(spec.hosts):
        written.append((("hosts", index, "address"), host.address, f"the address of `{host.name}`"))
        written.append((("hosts", index, "node_ip"), host.node_ip, f"the node address of `{host.name}`"))
    if spec.k3s:
        written.append((("k3s", "api_address"), spec.k3s.api_address, "the address of the API"))
    for path, text, whose in written:
        if text is not None and (address := _parsed(text)) is not None:
            yield path, address, whose


def _parsed(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _families(spec: SiteSpec) -> Iterator[Finding]:
    if spec.k3s is None:
        return
    pods, services = ipaddress.ip_network(spec.k3s.pod_cidr), ipaddress.ip_network(spec.k3s.service_cidr)
    if pods.version != services.version:
        written = [key for key in ("service_cidr", "pod_cidr") if key in spec.k3s.model_fields_set]
        yield Finding(
            ("k3s", written[0]),
            f"services have IPv{services.version}, pods IPv{pods.version}",
            "one family for both",
            "give both networks the same family",
        )


def _api_address(spec: SiteSpec) -> Iterator[Finding]:
    """With one server its own address is the API's; with more, the point is that it outlives each of them."""
    if spec.k3s is None or spec.k3s.api_address is None or len(spec.servers) < 2:
        return
    for server in spec.servers:
        if spec.k3s.api_address in (server.address, server.node_ip):
            yield Finding(
                ("k3s", "api_address"),
                f"{spec.k3s.api_address} is the address of `{server.name}`: the API would be lost with that server",
                "an address that outlives any one server: a virtual IP, a load balancer, a name with several records",
                "set up one of these and name it here",
            )


def _outpost(spec: SiteSpec) -> Iterator[Finding]:
    outpost = spec.registration
    if not isinstance(outpost, OutpostsSpec) or not isinstance(outpost.compute, InstanceCompute):
        return
    for index, host in enumerate(spec.hosts):
        if host.name == outpost.compute.host and (problem := address_problem(outpost, host.node_ip or host.address)):
            yield Finding(
                ("hosts", index, "node_ip" if host.node_ip else "address"),
                f"`{host.name}` cannot be the instance with {host.node_ip or host.address}",
                problem.removeprefix("expected "),
                "give the host an address from the subnet, or correct `subnet_cidr`",
            )
