"""What exists once for all sites: the tailnet's access rules, and zone groups that an AWS account opts into.

It is a stack of its own, named ``fleet``, described by ``stacks/fleet.yaml``. What the rules must know of the sites is
read from their own files. Nothing that belongs to one site is here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pulumi
from pydantic import Field, StringConstraints, model_validator

from components.base import EdgeComponent
from components.mesh.tailscale.plan import site_tags
from components.mesh.tailscale.spec import TagName, TailscaleSpec
from components.specs import Spec
from components.types import Cidr, NonEmpty
from sitefile.checked_file import FileChecker
from sitefile.layers import read_layers
from sitefile.problems import SiteError
from stacks.loader import load_all
from stacks.site import SiteSpec

STACK = "fleet"
"""Name of the stack; no site may be called so."""

OPERATORS = "group:edge-operators"
PORTS = ("tcp:22", "tcp:6443")
"""What operators need at a site: SSH and the Kubernetes API."""

_KUBELET = 10250
"""A port that listens on every node and that nobody may reach: the policy's tests ask for it."""

Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]


class TailnetSpec(Spec):
    """The tailnet of all sites that do not name a `login_server` of their own."""

    id: NonEmpty
    """The tailnet's id."""

    operators: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")], ...], Field(min_length=1)
    ]
    """Login names of the people who operate sites."""

    operator_tag: TagName = "ops"
    """Tag of the machines that operate sites: pipelines, jump hosts, the OAuth client that makes the sites' keys."""

    adopt: bool = False
    """Whether to take over a policy file that somebody else wrote: it is overwritten. False refuses to."""


class ZoneGroup(Spec):
    """A group of Local Zones or Wavelength Zones that the account opts into."""

    region: Region
    """Region that the zones belong to."""

    group: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d-[a-z0-9-]+$")]
    """Name of the group, such as `us-west-2-lax-1` or `us-east-1-wl1`."""


class FleetSpec(Spec):
    """What exists once for all sites."""

    tailnet: TailnetSpec | None = None
    """Access rules of the tailnet; absent when no site uses Tailscale."""

    aws_account_id: Annotated[str, StringConstraints(pattern=r"^\d{12}$")] | None = None
    """AWS account of `zone_groups`; credentials of any other are refused."""

    zone_groups: tuple[ZoneGroup, ...] = ()
    """Zone groups that the account opts into. AWS offers no way back by API."""

    @model_validator(mode="after")
    def _zones_have_an_account(self) -> FleetSpec:
        if self.zone_groups and self.aws_account_id is None:
            raise ValueError("zone_groups need aws_account_id: opting in is for one account, and cannot be undone")
        return self


@dataclass(frozen=True)
class MeshSite:
    """A site as the tailnet sees it."""

    site: str
    tags: tuple[str, ...]
    """Tags of its hosts; the first one is its own."""
    routes: tuple[Cidr, ...] = ()
    """Networks behind its hosts."""
    ssh_user: str | None = None
    """User of Tailscale SSH, where the site allows it."""


def mesh_sites(sites: Iterable[SiteSpec]) -> tuple[MeshSite, ...]:
    """Those of ``sites`` that are in the common tailnet, by name."""
    return tuple(
        MeshSite(
            site=spec.site,
            tags=site_tags(spec.site, spec.mesh),
            routes=spec.mesh.advertise_routes,
            ssh_user=spec.ssh.user if spec.mesh.ssh else None,
        )
        for spec in sorted(sites, key=lambda spec: spec.site)
        if isinstance(spec.mesh, TailscaleSpec) and spec.mesh.login_server is None
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
        # Who owns a tag may give it away: the operators' machines make the sites' keys.
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
        if site.ssh_user:
            users.setdefault(site.ssh_user, []).append(site.tags[0])
    return [{"action": "accept", "src": sources, "dst": own, "users": [user]} for user, own in sorted(users.items())]


def _tests(operator: str, own: Sequence[str]) -> list[dict[str, Any]]:
    """For each site: operators get in where they should, and the site reaches neither them nor its neighbour.

    One neighbour each, in a ring: rules name no pair of sites, so one pair stands for all, and the file stays linear.
    """
    tests: list[dict[str, Any]] = []
    for index, tag in enumerate(own):
        neighbour = own[(index + 1) % len(own)]
        refused = [f"{operator}:22"]
        if neighbour != tag:
            refused += [f"{neighbour}:{port.removeprefix('tcp:')}" for port in PORTS]
        tests += [
            {
                "src": operator,
                "proto": "tcp",
                "accept": [f"{tag}:{port.removeprefix('tcp:')}" for port in PORTS],
                "deny": [f"{tag}:{_KUBELET}"],
            },
            {"src": tag, "proto": "tcp", "deny": refused},
        ]
    return tests


class Fleet(EdgeComponent):
    """``edge:index:Fleet``: the tailnet's policy file and the account's zone groups."""

    def __init__(
        self, name: str, spec: FleetSpec, *, sites: Sequence[SiteSpec], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        in_mesh = mesh_sites(sites)
        facts = {
            "tailnet": spec.tailnet.id if spec.tailnet else None,
            "mesh_sites": len(in_mesh),
            "zone_groups": [zone.group for zone in spec.zone_groups],
        }
        super().__init__("Fleet", name, facts, opts)
        if spec.tailnet:
            self._policy_file(name, spec.tailnet, in_mesh)
        if spec.zone_groups:
            self._zone_groups(name, spec)
        self.register_outputs(facts)

    def _policy_file(self, name: str, tailnet: TailnetSpec, sites: Sequence[MeshSite]) -> None:
        import pulumi_tailscale as tailscale

        provider = tailscale.Provider(f"{name}-tailnet", tailnet=tailnet.id, opts=self.under())
        tailscale.Acl(
            f"{name}-acl",
            acl=json.dumps(acl(tailnet, sites), indent=2, sort_keys=True),
            overwrite_existing_content=tailnet.adopt,
            # Tailscale's default policy lets everything reach everything: destroying this stack must not bring it back.
            reset_acl_on_destroy=False,
            opts=self.under(provider=provider),
        )

    def _zone_groups(self, name: str, spec: FleetSpec) -> None:
        import pulumi_aws as aws

        providers = {
            region: aws.Provider(
                f"{name}-aws-{region}",
                region=region,
                allowed_account_ids=[spec.aws_account_id] if spec.aws_account_id else None,
                opts=self.under(),
            )
            for region in sorted({zone.region for zone in spec.zone_groups})
        }
        for zone in spec.zone_groups:
            aws.ec2.AvailabilityZoneGroup(
                f"{name}-{zone.group}",
                group_name=zone.group,
                opt_in_status="opted-in",
                # Opting out takes a support case: forgetting the group is all that a deletion can do.
                opts=self.under(provider=providers[zone.region], retain_on_delete=True),
            )


def load_fleet(root: Path) -> FleetSpec:
    """``stacks/fleet.yaml``. Raises ``SiteError`` with all problems of the file."""
    nothing = root / "stacks" / "no-layers"
    checker = FileChecker(FleetSpec, read_layers(nothing, nothing, root), root, lambda spec: (), lambda tree, file: ())
    checked = checker.check(root / "stacks" / "fleet.yaml")
    if checked.model is None:
        raise SiteError(checked.problems)
    return checked.model


def build(root: Path) -> Fleet:
    """The program of the stack ``fleet``.

    Raises ``SiteError`` if any site is wrong: rules made from half of the sites would lock the others out.
    """
    spec = load_fleet(root)
    sites, problems = load_all(root)
    if problems:
        raise SiteError(problems)
    return Fleet(STACK, spec, sites=sites)
