"""What two sites must not have in common: an id, or a network that one mesh has to route to both.

Owns the rules between sites. What one site can be judged by alone is in the specs and ``site_rules``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.mesh.tailscale.spec import MadeKey, TailscaleSpec
from sitefile.checked_file import CheckedFile
from sitefile.problems import Finding, Problem, shown
from sitefile.yaml_tree import MappingNode, ScalarNode
from stacks.site import SiteSpec

SiteFile = CheckedFile[SiteSpec]


@dataclass(frozen=True)
class _Route:
    first: int
    last: int
    text: str
    index: int
    file: SiteFile
    mesh: TailscaleSpec


def between_sites(files: Sequence[SiteFile]) -> Iterator[tuple[SiteFile, Problem]]:
    """Each clash once, at the file that comes later; an id belongs to the file that is named after it."""
    yield from _ids(files)
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


def _routes(files: Sequence[SiteFile]) -> Iterator[tuple[SiteFile, Problem]]:
    widest: dict[tuple[int, str], list[_Route]] = {}
    for version, route in sorted(_advertised(files), key=lambda pair: (pair[0], pair[1].first, -pair[1].last)):
        # Sorted by their first address, two networks overlap if and only if the later one begins inside the earlier.
        open_routes = widest.setdefault((version, (route.mesh.login_server or "").rstrip("/").lower()), [])
        open_routes[:] = [other for other in open_routes if other.last >= route.first]
        for other in open_routes:
            if other.file is not route.file and _may_meet(other.mesh, route.mesh):
                yield _overlap(*sorted((other, route), key=lambda r: r.file.source.file.as_posix()))
        open_routes.append(route)


def _advertised(files: Sequence[SiteFile]) -> Iterator[tuple[int, _Route]]:
    for file in files:
        if file.model is None or not isinstance(file.model.mesh, TailscaleSpec):
            continue
        for index, text in enumerate(file.model.mesh.advertise_routes):
            network = ipaddress.ip_network(text)
            first, last = int(network.network_address), int(network.broadcast_address)
            yield network.version, _Route(first, last, text, index, file, file.model.mesh)


def _may_meet(one: TailscaleSpec, other: TailscaleSpec) -> bool:
    """Whether both may be in one tailnet; only two that name different ones are surely apart."""
    if isinstance(one.key, MadeKey) and isinstance(other.key, MadeKey):
        return one.key.tailnet == other.key.tailnet
    return True


def _overlap(earlier: _Route, later: _Route) -> tuple[SiteFile, Problem]:
    assert earlier.file.model is not None
    finding = Finding(
        ("mesh", "advertise_routes", later.index),
        f"the network {later.text} overlaps {earlier.text}, which {shown(earlier.file.model.site)} advertises"
        f" to the same mesh ({earlier.file.source.file.as_posix()})",
        "networks that the mesh can tell apart",
        "renumber one of the sites, advertise a smaller network, or leave the route out",
    )
    return later.file, later.file.problem("overlapping-routes", finding)
