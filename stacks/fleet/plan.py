"""The tailnet's policy file: who reaches what at which site. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from components import ports
from components.mesh.tailscale.plan import site_tags
from components.mesh.tailscale.spec import MadeKey, TailscaleSpec
from components.types import Cidr
from stacks.fleet.spec import TailnetSpec
from stacks.parts import block_of
from stacks.site import SiteSpec

OPERATORS = "group:edge-operators"
PORTS = (f"tcp:{ports.SSH}", f"tcp:{ports.KUBERNETES_API}")
"""What operators need at a site: SSH and the Kubernetes API."""


@dataclass(frozen=True)
class MeshSite:
    """A site as the tailnet sees it."""

    site: str
    tags: tuple[str, ...]
    """Tags of its hosts; the first one is its own."""
    routes: tuple[Cidr, ...] = ()
    """Networks behind its hosts."""
    ssh_users: tuple[str, ...] = ()
    """Users of Tailscale SSH, where the site allows it."""


def mesh_sites(sites: Iterable[SiteSpec], tailnet: TailnetSpec) -> tuple[MeshSite, ...]:
    """Those of ``sites`` that are in ``tailnet``, by name."""
    return tuple(
        MeshSite(
            site=spec.site,
            tags=site_tags(spec.site, tailscale),
            routes=tailscale.advertise_routes,
            ssh_users=tuple(sorted({spec.ssh_of(host).user for host in spec.hosts})) if tailscale.ssh else (),
        )
        for spec in sorted(sites, key=lambda spec: spec.site)
        if (tailscale := block_of(spec, TailscaleSpec))
        and tailscale.login_server is None
        and (not isinstance(tailscale.key, MadeKey) or tailnet.is_named(tailscale.key.tailnet))
    )


def acl(tailnet: TailnetSpec, sites: Sequence[MeshSite]) -> dict[str, Any]:
    """The tailnet's policy file: operators reach SSH and API of every site, and nothing else reaches anything.

    Tailscale refuses a policy whose own tests fail, so the tests in it hold later edits to that.
    """
    operator = f"tag:{tailnet.operator_tag}"
    sources = [OPERATORS, operator]
    own = [site.tags[0] for site in sites]
    routes = sorted({route for site in sites for route in site.routes})
    tags = sorted({tag for site in sites for tag in site.tags})
    policy: dict[str, Any] = {
        "groups": {OPERATORS: sorted(tailnet.operators)},
        # The owner of a tag may assign it: the operators' machines make the sites' keys.
        "tagOwners": {operator: [OPERATORS], **{tag: [OPERATORS, operator] for tag in tags}},
        "grants": [{"src": sources, "dst": [*own, *routes], "ip": list(PORTS)}] if sites else [],
        "ssh": _ssh(sources, sites),
        "tests": _tests(operator, own),
    }
    if routes:
        policy["autoApprovers"] = {
            "routes": {route: [site.tags[0] for site in sites if route in site.routes] for route in routes}
        }
    return policy


def _ssh(sources: list[str], sites: Sequence[MeshSite]) -> list[dict[str, Any]]:
    users: dict[str, list[str]] = {}
    for site in sites:
        for user in site.ssh_users:
            users.setdefault(user, []).append(site.tags[0])
    return [{"action": "accept", "src": sources, "dst": own, "users": [user]} for user, own in sorted(users.items())]


def _tests(operator: str, own: Sequence[str]) -> list[dict[str, Any]]:
    """For each site: operators get in where they should, and the site reaches neither them nor its neighbour.

    One neighbour each, in a ring: rules name no pair of sites, so one pair stands for all, and the file stays linear.
    """
    tests: list[dict[str, Any]] = []
    for index, tag in enumerate(own):
        neighbour = own[(index + 1) % len(own)]
        refused = [f"{operator}:{ports.SSH}"]
        if neighbour != tag:
            refused += [f"{neighbour}:{port.removeprefix('tcp:')}" for port in PORTS]
        tests += [
            {
                "src": operator,
                "proto": "tcp",
                "accept": [f"{tag}:{port.removeprefix('tcp:')}" for port in PORTS],
                "deny": [f"{tag}:{ports.KUBELET}"],
            },
            {"src": tag, "proto": "tcp", "deny": refused},
        ]
    return tests
