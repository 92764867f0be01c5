"""A site's collectors as Pulumi resources: the shared ones under the site's name, each host's under its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from components import egress_of_pods
from components.base import EdgeComponent
from components.host.component import Host
from components.manifests import Manifest
from components.objects import create
from components.part import HeldEgress
from components.telemetry import host_health
from components.telemetry import plan as telemetry
from components.telemetry.spec import TelemetrySpec
from components.view import Site


@dataclass(frozen=True)
class TelemetryArgs:
    """What a site's collectors are made from."""

    spec: TelemetrySpec
    site: Site
    token: pulumi.Input[str]
    """Token of the gateway. Becomes a secret if it is not one yet."""
    joined: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """By host name, the resource after which the host is a node of the cluster."""
    egress: HeldEgress | None = None
    """How the collectors go out."""
    hosts: Mapping[str, Host] = field(default_factory=dict)
    """By name, for what is installed on them."""


class Telemetry(EdgeComponent):
    """``edge:index:Telemetry``: collectors that queue on disk what the gateway cannot take now.

    The site's cluster is the Kubernetes provider of ``opts``.
    """

    def __init__(self, name: str, args: TelemetryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        spec, site = args.spec, args.site
        shared = telemetry.plan(spec, site)
        super().__init__("Telemetry", name, {}, opts)

        def make(role: str, manifest: Manifest, *after: pulumi.Resource) -> pulumi.CustomResource:
            return create(self, f"{name}-{role}", manifest, depends_on=after)

        namespace = make("namespace", shared.namespace)
        needed = [
            namespace,
            *(make(f"network-{policy['metadata']['name']}", policy, namespace) for policy in shared.network_policies),
            make("account", shared.service_account, namespace),
            make("role", shared.cluster_role),
            make("role-binding", shared.cluster_role_binding, namespace),
            *(make(role, manifest, namespace) for role, manifest in shared.of_events.items()),
            make("config", shared.config_map, namespace),
            make("credentials", telemetry.credentials(args.token), namespace),
        ]
        mark: pulumi.Input[str] | None = None
        if args.egress is not None:
            mark = args.egress.mark
            for role, manifest in egress_of_pods.objects(
                site.egress, telemetry.NAMESPACE, args.egress.variables
            ).items():
                needed.append(make(role, manifest, namespace))
        make("service", shared.service, namespace)
        for machine in site.machines:
            joined = args.joined.get(machine.name)
            after = [*needed, *([joined] if joined else [])]
            if spec.host_health:
                scripts, host = host_health.plan(machine), args.hosts[machine.name]
                # The folder must be there before a pod has it.
                after.append(
                    host.command(
                        self,
                        host_health.ROLE,
                        scripts.install,
                        delete=scripts.remove,
                        expected=scripts.expected,
                        depends_on=[joined] if joined else [],
                    )
                )
            for role, manifest in telemetry.folders_of(spec, machine).items():
                after.append(create(self, f"{machine.node}-{role}", manifest, depends_on=after[:]))
            create(
                self,
                f"{machine.node}-telemetry",
                telemetry.collector_of(spec, shared, machine, site.egress, mark),
                depends_on=after,
                custom_timeouts=pulumi.CustomTimeouts(create="30m", update="30m"),
            )
        self.register_outputs({})
