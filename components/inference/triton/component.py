"""Triton at a site, as Pulumi resources; each host that can run it is labelled under the host's own name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from components.base import EdgeComponent
from components.inference import device_plugin
from components.inference.placement import Refused, place
from components.inference.triton import plan as triton
from components.inference.triton.spec import TritonSpec
from components.manifests import Manifest
from components.objects import create, release
from components.view import Site


@dataclass(frozen=True)
class TritonArgs:
    """What Triton at a site is made from. Secrets are those that ``plan.required_secrets`` names."""

    spec: TritonSpec
    site: Site
    installations: Mapping[str, str]
    """By host name, what changes when the host is installed anew."""
    joined: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """By host name, the resource after which the host is a node of the cluster."""
    model_store_access_key: pulumi.Input[str] | None = None
    model_store_secret_key: pulumi.Input[str] | None = None


class Triton(EdgeComponent):
    """``edge:index:Inference``: Triton with the site's models, on hosts that have what the models need.

    The site's cluster is the Kubernetes provider of ``opts``.
    """

    endpoint: str
    """gRPC address inside the cluster."""

    deployment: pulumi.CustomResource
    """Triton's Deployment: up when the models answer."""

    def __init__(self, name: str, args: TritonArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        spec, site = args.spec, args.site
        placement = place(triton.server(spec), site.machines, site.taken, time_slices=site.time_slices)
        if isinstance(placement, Refused):
            raise pulumi.RunError(f"{site.name}: no host can run the models\n{placement}")
        given = {
            "model-store-access-key": args.model_store_access_key,
            "model-store-secret-key": args.model_store_secret_key,
        }
        for key in triton.required_secrets(spec):
            if given[key] is None:
                raise pulumi.RunError(
                    f"{site.name}: the models need the secret {key}: pulumi config set --secret edge:{key}"
                )
        planned = triton.plan(spec, placement, scraper=site.scraper, ipv6=site.prefers_ipv6)
        # The type is from the time when Triton was the only server; another one would be another resource.
        super().__init__("Inference", name, {}, opts)

        def make(role: str, manifest: Manifest, *after: pulumi.Resource) -> pulumi.CustomResource:
            return create(self, f"{name}-{role}", manifest, depends_on=after)

        namespace = make("namespace", planned.namespace)
        needed: list[pulumi.Resource] = [
            namespace,
            *(make(f"network-{policy['metadata']['name']}", policy, namespace) for policy in planned.network_policies),
            make("account", planned.service_account, namespace),
            make("models", planned.models, namespace),
        ]
        for manifest in planned.scrape_access:
            make(f"scrape-{manifest['kind'].lower()}", manifest, namespace)
        if triton.required_secrets(spec):
            keys = triton.store_credentials(args.model_store_access_key, args.model_store_secret_key)
            needed.append(make("store-credentials", keys, namespace))
        if plugin := planned.device_plugin:
            needed.append(
                release(
                    self,
                    f"{name}-device-plugin",
                    device_plugin.chart(plugin, mig=any(machine.spec.mig for machine in site.machines)),
                )
            )

        # The Deployment waits for its pods, not for these: depending on them would tie it to the list of hosts.
        for machine in site.machines:
            if machine.name not in placement.demands:
                continue
            joined = args.joined.get(machine.name)
            create(
                self,
                f"{machine.node}-inference",
                triton.host_labels(
                    placement, machine.kubernetes_node, args.installations[machine.name], on_gpu=spec.device == "gpu"
                ),
                depends_on=[joined] if joined else [],
            )
        self.deployment = create(
            self,
            f"{name}-server",
            planned.deployment,
            depends_on=needed,
            # The image is many GB and the uplink is an edge site's.
            custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m"),
        )
        make("service", planned.service, namespace)
        self.endpoint = f"{triton.NAME}.{triton.NAMESPACE}.svc:{triton.GRPC_PORT}"
        self.register_outputs({"endpoint": self.endpoint})
