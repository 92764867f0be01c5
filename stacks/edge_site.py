"""One site as one component: its hosts, and its parts in the order in which they come up.

Order and wiring, nothing else: what a part does is its own business, what a site may say is ``stacks.site``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pulumi_command import local

from components.base import EdgeComponent
from components.host.component import Host, HostArgs
from components.part import Building, Phase
from components.view import Demand, Proof, Site
from stacks import parts
from stacks.catalogue import Catalogue
from stacks.economics import assess
from stacks.provenance import OUTPUT, built_from
from stacks.site import SiteSpec

Secret = Callable[[str], pulumi.Input[str]]
"""Gives the secret under a key of the stack's configuration."""


@dataclass(frozen=True)
class EdgeSiteArgs:
    """What a site is made from."""

    spec: SiteSpec
    catalogue: Catalogue
    secret: Secret
    """Asked only for what the site needs, so that a stack without, say, a Git key is asked for none."""
    consents: Mapping[str, str] = field(default_factory=dict)
    """By node, the changes that somebody has consented to."""
    project: Path | None = None
    """The repository that has the site, where that is not the program's own."""


class EdgeSite(EdgeComponent):
    """``edge:index:EdgeSite``: a whole site. ``hosts`` are its machines, ``cluster`` is what runs on them.

    ``expiring`` is what the stack holds that ends by itself.
    """

    def __init__(self, name: str, args: EdgeSiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        self.spec = spec = args.spec
        self._project = args.project
        self._told = outputs(spec, args.catalogue)
        seen = parts.view(spec, args.catalogue)
        super().__init__("EdgeSite", name, published(spec, args.catalogue), _with_aliases(opts, seen))
        secrets = {need.key: args.secret(need.key) for need in parts.required(spec)}
        planned = list(parts.views(spec, args.catalogue))
        building = Building(seen, secrets.__getitem__, parent=self, consents=args.consents)

        def build(*phases: Phase) -> None:
            for entry, seen in planned:
                if entry.part.phase in phases:
                    building.site = seen
                    entry.part.build(entry.spec, building)

        build(Phase.PLACE)
        if building.site.machines:
            building.hosts = _hosts(
                building,
                _identity(self, name),
                parts.host_checks(spec, args.catalogue),
                parts.proofs(spec, building.site),
                parts.demands(spec, args.catalogue),
            )
        self.hosts = list(building.hosts.values())
        build(Phase.ON_HOSTS)
        # By the site's way out, and before K3s looks for runtimes.
        for host in self.hosts:
            host.install_packages()
        build(Phase.CLUSTER)
        if building.cluster is not None:
            build(Phase.IN_CLUSTER)
        self.cluster, self.expiring = building.cluster, building.expiring
        self.register_outputs(self._told)

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of the site's stack."""
        return {**self._told, OUTPUT: built_from(self.spec, project=self._project)}


def published(spec: SiteSpec, catalogue: Catalogue) -> dict[str, Any]:
    """What policies read of the site as a whole. It holds no secret, and nothing that depends on the list of hosts."""
    result: dict[str, Any] = {"site": spec.site, "tier": spec.tier, "region": spec.region, "labels": dict(spec.labels)}
    if spec.latency_ms is not None:
        bounds = catalogue.tiers[spec.tier].latency_ms
        result |= {"latency_ms": spec.latency_ms, "tier_latency_ms": {"min": bounds.min, "max": bounds.max}}
    if spec.economics:
        result["economics"] = {"edge_pays": assess(spec.economics).edge_pays}
    if spec.waivers:
        result["waivers"] = [waiver.model_dump(mode="json", exclude_none=True) for waiver in spec.waivers]
    return result


def _with_aliases(opts: pulumi.ResourceOptions | None, site: Site) -> pulumi.ResourceOptions | None:
    """Options by which each resource of a renamed host is known under the host's former name too: the same resource."""
    renamed = {machine.node: old for machine in site.machines for old in machine.former}
    if not renamed:
        return opts
    # The longest first: `a-b` is no resource of the host `a`.
    nodes = sorted((machine.node for machine in site.machines), key=len, reverse=True)

    def aliased(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        node = next((node for node in nodes if args.name == node or args.name.startswith(f"{node}-")), None)
        if node not in renamed:
            return None
        alias = pulumi.Alias(name=renamed[node] + args.name.removeprefix(node))
        return pulumi.ResourceTransformationResult(
            args.props, pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(aliases=[alias]))
        )

    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(transformations=[aliased]))


def _identity(site: EdgeSite, name: str) -> pulumi.Output[str]:
    """What tells this stack from a copy of it: made once, where the program runs, and kept in the state."""
    made = local.Command(
        f"{name}-identity",
        create="od -An -N8 -tx1 /dev/urandom | tr -d ' \\n'",
        # Whatever a later release writes here, the identity stays.
        opts=site.under(ignore_changes=["create"]),
    )
    return made.stdout.apply(lambda printed: printed.strip() or "unknown")


def _hosts(
    building: Building,
    stack: pulumi.Output[str],
    checks: Mapping[str, Sequence[str]],
    proofs: Mapping[str, Sequence[Proof]],
    demands: Mapping[str, Demand],
) -> dict[str, Host]:
    """The hosts by name, in the order of the file."""
    site, made = building.site, dict[str, Host]()
    # A host behind a jump host comes after it; the rules have refused circles.
    waiting = list(site.machines)
    while waiting:
        machine = next(one for one in waiting if one.spec.via is None or one.spec.via in made)
        waiting.remove(machine)
        gate = building.gates.get(machine.name)
        made[machine.name] = Host(
            machine.node,
            HostArgs(
                machine=machine,
                secret=building.secret,
                stack=stack,
                consent=building.consents.get(machine.node, ""),
                jump_host=made[machine.spec.via] if machine.spec.via else None,
                after=[gate] if gate else [],
                checks=checks[machine.name],
                demand_watts=demands.get(machine.name, Demand()).watts,
                demand_accelerators=demands.get(machine.name, Demand()).accelerators,
                time_slices=site.time_slices,
                proofs=[(proof.script, building.secret(proof.secret)) for proof in proofs[machine.name]],
            ),
            building.child(),
        )
    return {machine.name: made[machine.name] for machine in site.machines}


def outputs(spec: SiteSpec, catalogue: Catalogue) -> dict[str, Any]:
    """The site's outputs: flat, without secrets, and nothing that names the list of hosts."""
    result: dict[str, Any] = {"site": spec.site, "tier": spec.tier, "region": spec.region}
    result |= parts.outputs(spec, catalogue)
    if spec.economics:
        economics = assess(spec.economics)
        result |= {
            "edge_usd_per_month": economics.edge_usd_per_month,
            "cloud_usd_per_month": economics.cloud_usd_per_month,
            "saving_usd_per_month": economics.saving_usd_per_month,
            "saving_percent": economics.saving_percent,
            "break_even_month": economics.break_even_month,
            "edge_pays": economics.edge_pays,
        }
    return result
