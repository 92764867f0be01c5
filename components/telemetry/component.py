"""A site's collectors as Pulumi resources: the shared ones under the site's name, each host's under its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as kubernetes

from components.base import EdgeComponent
from components.manifests import Manifest
from components.objects import create
from components.telemetry import plan as telemetry
from components.telemetry.plan import CollectorHost
from components.telemetry.spec import TelemetrySpec


class Telemetry(EdgeComponent):
    """Collectors that queue on disk what the gateway cannot take now."""

    def __init__(
        self,
        name: str,
        spec: TelemetrySpec,
        *,
        site: str,
        tier: str,
        region: str,
        labels: Mapping[str, str],
        hosts: Sequence[CollectorHost],
        joined: Mapping[str, pulumi.Resource],
        inference_namespace: str | None,
        cluster: kubernetes.Provider,
        telemetry_token: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``joined`` gives, by host name, the resource after which the host is a node of the cluster."""
        shared = telemetry.plan(
            spec, site=site, tier=tier, region=region, labels=labels, inference_namespace=inference_namespace
        )
        super().__init__("Telemetry", name, shared.facts, opts)

        def make(role: str, manifest: Manifest, *after: pulumi.Resource) -> pulumi.CustomResource:
            return create(self, f"{name}-{role}", manifest, provider=cluster, depends_on=after)

        namespace = make("namespace", shared.namespace)
        needed = [
            namespace,
            *(make(f"network-{policy['metadata']['name']}", policy, namespace) for policy in shared.network_policies),
            make("account", shared.service_account, namespace),
            make("role", shared.cluster_role),
            make("role-binding", shared.cluster_role_binding, namespace),
            make("config", shared.config_map, namespace),
            make("credentials", telemetry.credentials(telemetry_token), namespace),
        ]
        make("service", shared.service, namespace)
        for host in hosts:
            create(
                self,
                f"{site}-{host.name}-telemetry",
                telemetry.collector_of(spec, shared, host),
                provider=cluster,
                depends_on=[*needed, *([joined[host.name]] if host.name in joined else [])],
                custom_timeouts=pulumi.CustomTimeouts(create="30m", update="30m"),
            )
        self.register_outputs({})
