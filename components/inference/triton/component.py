"""Triton at a site, as Pulumi resources; each host that can run it is labelled under the host's own name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as kubernetes

from components.base import EdgeComponent
from components.inference.placement import HostCapacity, Refused, place
from components.inference.triton import plan as inference
from components.inference.triton.spec import InferenceSpec
from components.manifests import HelmRelease, Manifest
from components.objects import create, release


class Inference(EdgeComponent):
    """Triton with the site's models, on hosts that have what the models need."""

    endpoint: str
    """gRPC address inside the cluster."""

    deployment: pulumi.CustomResource
    """Triton's Deployment: up when the models answer."""

    def __init__(
        self,
        name: str,
        spec: InferenceSpec,
        *,
        site: str,
        hosts: Sequence[HostCapacity],
        nodes: Mapping[str, str],
        installations: Mapping[str, str],
        joined: Mapping[str, pulumi.Resource],
        scraper: inference.Scraper | None,
        cluster: kubernetes.Provider,
        model_store_access_key: pulumi.Input[str] | None = None,
        model_store_secret_key: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """By host name: ``nodes`` has the node's name, ``installations`` what changes when the host is installed anew,
        ``joined`` the resource after which the host is that node."""
        placement = place(spec.triton.contracts, hosts, device=spec.triton.device, replicas=spec.triton.replicas)
        if isinstance(placement, Refused):
            raise pulumi.RunError(f"{site}: no host can run the models\n{placement}")
        given = {"model-store-access-key": model_store_access_key, "model-store-secret-key": model_store_secret_key}
        for key in inference.required_secrets(spec):
            if given[key] is None:
                raise pulumi.RunError(
                    f"{site}: the models need the secret {key}: pulumi config set --secret edge:{key}"
                )
        planned = inference.plan(spec, placement, scraper=scraper)
        super().__init__("Inference", name, planned.facts, opts)

        def make(role: str, manifest: Manifest, *after: pulumi.Resource) -> pulumi.CustomResource:
            return create(self, f"{name}-{role}", manifest, provider=cluster, depends_on=after)

        namespace = make("namespace", planned.namespace)
        needed: list[pulumi.Resource] = [
            namespace,
            *(make(f"network-{policy['metadata']['name']}", policy, namespace) for policy in planned.network_policies),
            make("account", planned.service_account, namespace),
            make("models", planned.models, namespace),
        ]
        for manifest in planned.scrape_access:
            make(f"scrape-{manifest['kind'].lower()}", manifest, namespace)
        if inference.required_secrets(spec):
            keys = inference.store_credentials(model_store_access_key, model_store_secret_key)
            needed.append(make("store-credentials", keys, namespace))
        if plugin := planned.device_plugin:
            chart = HelmRelease(
                name="nvidia-device-plugin",
                chart=plugin.chart,
                repository=plugin.repository,
                version=plugin.version,
                namespace="kube-system",
                values=inference.device_plugin_values(plugin),
            )
            needed.append(release(self, f"{name}-device-plugin", chart, provider=cluster))

        # The Deployment waits for its pods, not for these: depending on them would tie it to the list of hosts.
        for host in placement.eligible:
            create(
                self,
                f"{site}-{host}-inference",
                inference.host_labels(placement, nodes[host], installations[host], on_gpu=spec.triton.device == "gpu"),
                provider=cluster,
                depends_on=[joined[host]] if host in joined else [],
            )
        self.deployment = create(
            self,
            f"{name}-server",
            planned.deployment,
            provider=cluster,
            depends_on=needed,
            # The image is many GB and the uplink is an edge site's.
            custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m"),
        )
        make("service", planned.service, namespace)
        self.endpoint = f"{inference.NAME}.{inference.NAMESPACE}.svc:{inference.GRPC_PORT}"
        self.register_outputs({"endpoint": self.endpoint})
