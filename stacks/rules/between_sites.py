"""What two sites must not have in common: an id, a machine, or a network that one mesh has to route to both.

Owns the rules between sites. Rules about one site are in the specs, in the parts, and in the modules beside this one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.view import MeshDomain, Network
from sitefile.checked_file import CheckedFile
from sitefile.problems import Finding, Problem, shown
from sitefile.yaml_tree import MappingNode, ScalarNode
from stacks.parts import networks
from stacks.site import SiteSpec

SiteFile = CheckedFile[SiteSpec]


@dataclass(frozen=True)
class _Route:
    first: int
    last: int
    network: Network
    mesh: MeshDomain
    file: SiteFile


def between_sites(files: Sequence[SiteFile]) -> Iterator[tuple[SiteFile, Problem]]:
    """Each conflict once, at the file that comes later; an id belongs to the file that is named after it."""
    yield from _ids(files)
    yield from _machines(files)
    yield from _routes(files)


def _ids(files: Sequence[SiteFile]) -> Iterator[tuple[SiteFile, Problem]]:
    sharing: dict[str, list[SiteFile]] = {}
    for file in files:
        site = file.tree.entries.get("site") if isinstance(file.tree, MappingNode) else None
        if isinstance(site, ScalarNode) and isinstance(site.value, str):
            sharing.setdefault(site.value, []).append(file)
    for site_id, owners in sharing.items():
        owner = next((file for file in owners if file.source.file.stem == site_id), owners[0])
        for file in (file for file in owners if file is not owner):
            finding = Finding(
                ("site",),
                f"the id {shown(site_id)} is taken: {owner.source.file.as_posix()} has it",
                "an id of its own for each site",
                "give this site another id, and its file the same name",
            )
            yield file, file.problem("duplicate-site", finding)


def _machines(files: Sequence[SiteFile]) -> Iterator[tuple[SiteFile, Problem]]:
    """A machine in two sites: mostly a site file that was copied. Each of them would set it up as its own."""
    owners: dict[str, tuple[SiteFile, str]] = {}
    for file in files:
        # One file under two ids is refused by its id.
        for index, host in enumerate(file.model.hosts if file.model is not None else ()):
            assert file.model is not None
            owner, node = owners.setdefault(host.host_key, (file, file.model.node(host)))
            if owner is not file and owner.model is not None and owner.model.site != file.model.site:
                finding = Finding(
                    ("hosts", index, "host_key"),
                    f"{node} has the same host key ({owner.source.file.as_posix()}): it is the same machine",
                    "each machine in one site",
                    "remove it from one of the two sites; machines made from one image need new keys",
                )
                yield file, file.problem("shared-host", finding)


def _routes(files: Sequence[SiteFile]) -> Iterator[tuple[SiteFile, Problem]]:
    widest: dict[tuple[int, str], list[_Route]] = {}
    for version, route in sorted(_advertised(files), key=lambda pair: (pair[0], pair[1].first, -pair[1].last)):
        # Sorted by their first address, two networks overlap if and only if the later one begins inside the earlier.
        open_routes = widest.setdefault((version, route.mesh.server), [])
        open_routes[:] = [other for other in open_routes if other.last >= route.first]
        for other in open_routes:
            if other.file is not route.file and other.mesh.may_be(route.mesh):
                yield _overlap(*sorted((other, route), key=lambda r: r.file.source.file.as_posix()))
        open_routes.append(route)


def _advertised(files: Sequence[SiteFile]) -> Iterator[tuple[int, _Route]]:
    for file in files:
        for network in networks(file.model) if file.model is not None else ():
            if network.mesh is not None:
                parsed = ipaddress.ip_network(network.cidr)
                first, last = int(parsed.network_address), int(parsed.broadcast_address)
                yield parsed.version, _Route(first, last, network, network.mesh, file)


def _overlap(earlier: _Route, later: _Route) -> tuple[SiteFile, Problem]:
    assert earlier.file.model is not None
    finding = Finding(
        later.network.path,
        f"the network {later.network.cidr} overlaps {earlier.network.cidr}, which"
        f" {shown(earlier.file.model.site)} advertises to the same mesh ({earlier.file.source.file.as_posix()})",
        "networks that the mesh can tell apart",
        "renumber one of the sites, advertise a smaller network, or leave the route out",
    )
    return later.file, later.file.problem("overlapping-routes", finding)
