"""Ollama at a site, as Pulumi resources; the host that runs it is labelled under the host's own name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components import egress_of_pods
from components.base import EdgeComponent
from components.inference import device_plugin
from components.inference.ollama import plan as ollama
from components.inference.ollama.spec import OllamaSpec
from components.inference.placement import Refused, place
from components.manifests import Manifest
from components.objects import create, release
from components.part import HeldEgress
from components.view import Site


@dataclass(frozen=True)
class OllamaArgs:
    """What Ollama at a site is made from."""

    spec: OllamaSpec
    site: Site
    installations: Mapping[str, str]
    """By host name, what changes when the host is installed anew."""
    joined: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """By host name, the resource after which the host is a node of the cluster."""
    egress: HeldEgress | None = None
    """How models are pulled."""


class Ollama(EdgeComponent):
    """``edge:index:Ollama``: Ollama with the site's models, on a host that has what the models need.

    The site's cluster is the Kubernetes provider of ``opts``.
    """

    endpoint: str
    """HTTP address inside the cluster."""

    deployment: pulumi.CustomResource
    """Ollama's Deployment: up when every model is loaded."""

    def __init__(self, name: str, args: OllamaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        spec, site = args.spec, args.site
        placement = place(ollama.server(spec), site.machines, site.taken, time_slices=site.time_slices)
        if isinstance(placement, Refused):
            raise pulumi.RunError(f"{site.name}: no host can run the language models\n{placement}")
        host = ollama.host_of(placement)
        planned = ollama.plan(spec, placement, args.installations[host], site.egress)
        super().__init__("Ollama", name, {}, opts)

        def make(role: str, manifest: Manifest, *after: pulumi.Resource, **options: Any) -> pulumi.CustomResource:
            return create(self, f"{name}-{role}", manifest, depends_on=after, **options)

        namespace = make("namespace", planned.namespace)
        needed: list[pulumi.Resource] = [
            namespace,
            *(make(f"network-{policy['metadata']['name']}", policy, namespace) for policy in planned.network_policies),
            make("account", planned.service_account, namespace),
            make("script", planned.script, namespace),
            make("store", planned.store, namespace),
        ]
        if args.egress is not None:
            way_out = egress_of_pods.objects(site.egress, ollama.NAMESPACE, args.egress.variables)
            needed += [make(role, manifest, namespace) for role, manifest in way_out.items()]
        plugin = planned.device_plugin
        plugged = (
            [
                release(
                    self,
                    f"{name}-device-plugin",
                    device_plugin.chart(plugin, mig=any(machine.spec.mig for machine in site.machines)),
                )
            ]
            if plugin
            else []
        )

        (machine,) = (machine for machine in site.machines if machine.name == host)
        labels = ollama.host_labels(
            placement, machine.kubernetes_node, args.installations[host], on_gpu=spec.device == "gpu"
        )
        joined = args.joined.get(host)
        needed.append(create(self, f"{machine.node}-ollama", labels, depends_on=[joined] if joined else []))
        pull = make(
            "pull",
            planned.pull,
            *needed,
            # The image and the models are GB, and the uplink is an edge site's.
            custom_timeouts=pulumi.CustomTimeouts(create=f"{ollama.PULL_DEADLINE_S // 60 + 60}m"),
        )
        # After the pull: a set of models that was refused leaves the server as it is.
        self.deployment = make(
            "server",
            planned.deployment,
            *needed,
            *plugged,
            pull,
            custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m"),
        )
        make("service", planned.service, namespace)
        self.endpoint = f"{ollama.NAME}.{ollama.NAMESPACE}.svc:{ollama.PORT}"
        self.register_outputs({"endpoint": self.endpoint})
