"""One site as one component: which parts it has, in which order they come up, and what it tells the world.

Order and wiring, nothing else: what a part does is its own business, what a site may say is ``stacks.site``'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.base import EdgeComponent
from components.gitops.flux.component import Flux
from components.gitops.flux.spec import FluxSpec
from components.host.component import Host
from components.inference.triton.component import Inference
from components.inference.triton.plan import NAMESPACE as INFERENCE_NAMESPACE
from components.inference.triton.plan import Scraper
from components.k3s.component import K3s
from components.mesh.tailscale.component import Tailscale
from components.mesh.tailscale.spec import TailscaleSpec
from components.registration.arc.plan import NAMESPACES as ARC_NAMESPACES
from components.registration.spec import ArcSpec, OutpostsSpec
from components.telemetry.component import Telemetry
from components.telemetry.plan import NAMESPACE as TELEMETRY_NAMESPACE
from components.telemetry.plan import CollectorHost
from stacks.catalogue import Catalogue
from stacks.economics import assess
from stacks.provenance import OUTPUT, built_from
from stacks.secrets import required
from stacks.site import SiteSpec

if TYPE_CHECKING:
    from components.place.outposts.component import OutpostsRegistration

Secret = Callable[[str], pulumi.Input[str]]
"""Gives the secret under a key of the stack's configuration."""


class EdgeSite(EdgeComponent):
    """``edge:index:EdgeSite``: a whole site. ``facts`` are its flat, non-secret outputs; ``hosts`` are its machines."""

    def __init__(
        self, spec: SiteSpec, *, catalogue: Catalogue, secret: Secret, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        self.facts = facts(spec)
        super().__init__("EdgeSite", spec.site, {**self.facts, "labels": dict(spec.labels)}, opts)
        self.spec, self._catalogue = spec, catalogue
        # Only what the site needs is read, so that a stack without, say, a Git key is asked for none.
        self._secrets = {need.key: secret(need.key) for need in required(spec)}
        self._child = pulumi.ResourceOptions(parent=self)

        # 1. What the machines stand on, where a cloud provides it.
        outpost = self._outpost() if isinstance(spec.registration, OutpostsSpec) else None
        # 2. The machines, and the network to reach them by.
        self.hosts = hosts = self._hosts(outpost)
        if isinstance(spec.mesh, TailscaleSpec):
            key = self._secrets.get("tailscale-auth-key")
            Tailscale(f"{spec.site}-mesh", spec.mesh, site=spec.site, hosts=hosts, auth_key=key, opts=self._child)
        # 3. Kubernetes: ours on the machines, or the cloud's.
        cluster = self._k3s(hosts) if spec.k3s else None
        provider = cluster.provider if cluster else outpost.kubernetes_provider if outpost else None
        joined = cluster.joined if cluster else {}
        # 4. What runs in it.
        if provider is not None:
            self._in_cluster(provider, joined)
        self.register_outputs(self.facts)

    @property
    def outputs(self) -> dict[str, Any]:
        """What the site's stack tells the world."""
        return {**self.facts, OUTPUT: built_from(self.spec)}

    def _outpost(self) -> OutpostsRegistration:
        # The SDK of a cloud is as much to import as half of the program: only the sites that use one do.
        from components.place.outposts.component import OutpostsRegistration

        spec = self.spec
        assert isinstance(spec.registration, OutpostsSpec)
        compute = spec.registration.compute
        instance_host = getattr(compute, "host", None)
        host = next((host for host in spec.hosts if host.name == instance_host), None)
        return OutpostsRegistration(
            f"{spec.site}-outposts",
            spec.registration,
            site=spec.site,
            distribution=(spec.os_of(host) if host else spec.os).distribution,
            ssh_user=spec.ssh.user,
            host=host,
            host_private_key=self._secrets.get("outposts-host-key"),
            opts=self._child,
        )

    def _hosts(self, outpost: OutpostsRegistration | None) -> list[Host]:
        spec = self.spec
        made: dict[str, Host] = {}
        instances = {outpost.host_name: outpost.instance_ready} if outpost else {}
        # A host behind another one comes after it; `site_rules` has refused circles.
        waiting = list(spec.hosts)
        while waiting:
            host = next(host for host in waiting if host.via is None or host.via in made)
            waiting.remove(host)
            made[host.name] = Host(
                spec.node(host),
                host,
                hardware=self._catalogue.hardware[host.hardware],
                os=spec.os_of(host),
                ssh=spec.ssh,
                private_key=self._secrets["ssh-private-key"],
                via=made[host.via] if host.via else None,
                depends_on=[made_by] if (made_by := instances.get(host.name)) is not None else [],
                opts=self._child,
            )
        return [made[host.name] for host in spec.hosts]

    def _k3s(self, hosts: list[Host]) -> K3s:
        spec = self.spec
        assert spec.k3s is not None
        return K3s(
            f"{spec.site}-k3s",
            spec.k3s,
            site=spec.site,
            hosts=hosts,
            token=self._secrets["k3s-token"],
            agent_token=self._secrets["k3s-agent-token"],
            datastore_endpoint=self._secrets.get("k3s-datastore-endpoint"),
            labels={"edge.site": spec.site, "edge.tier": spec.tier, "edge.region": spec.region, **spec.labels},
            psa_exempt=ARC_NAMESPACES if isinstance(spec.registration, ArcSpec) else (),
            opts=self._child,
        )

    def _in_cluster(self, cluster: kubernetes.Provider, joined: dict[str, pulumi.Resource]) -> None:
        spec, secrets = self.spec, self._secrets
        place: dict[str, Any] = {"site": spec.site, "tier": spec.tier, "region": spec.region, "labels": spec.labels}
        if isinstance(spec.registration, ArcSpec):
            from components.registration.arc.component import ArcRegistration

            ArcRegistration(
                f"{spec.site}-arc",
                spec.registration,
                site=spec.site,
                kubernetes_provider=cluster,
                opts=self._child,
            )
        if isinstance(spec.gitops, FluxSpec):
            Flux(
                f"{spec.site}-flux",
                spec.gitops,
                **place,
                cluster=cluster,
                git_ssh_key=secrets.get("git-ssh-key"),
                git_password=secrets.get("git-password"),
                sops_age_key=secrets.get("sops-age-key"),
                opts=self._child,
            )
        if spec.telemetry:
            Telemetry(
                f"{spec.site}-telemetry",
                spec.telemetry,
                **place,
                hosts=[
                    CollectorHost(host.name, spec.node(host), self._catalogue.hardware[host.hardware].memory_mib)
                    for host in spec.hosts
                ],
                joined=joined,
                inference_namespace=INFERENCE_NAMESPACE if spec.inference else None,
                cluster=cluster,
                telemetry_token=secrets["telemetry-token"],
                opts=self._child,
            )
        if spec.inference:
            Inference(
                f"{spec.site}-inference",
                spec.inference,
                site=spec.site,
                hosts=[self._catalogue.capacity_of(host) for host in spec.hosts],
                nodes={host.name: spec.node(host) for host in spec.hosts},
                installations={host.spec.name: host.identity for host in self.hosts},
                joined=joined,
                scraper=Scraper(namespace=TELEMETRY_NAMESPACE, service_account="otel") if spec.telemetry else None,
                cluster=cluster,
                model_store_access_key=secrets.get("model-store-access-key"),
                model_store_secret_key=secrets.get("model-store-secret-key"),
                opts=self._child,
            )


def facts(spec: SiteSpec) -> dict[str, Any]:
    """The site's outputs: flat, without secrets, and nothing that names the list of hosts."""
    result: dict[str, Any] = {"site": spec.site, "tier": spec.tier, "region": spec.region}
    if spec.k3s:
        api_address = spec.k3s.api_address or spec.servers[0].address
        result |= {"kubernetes_endpoint": f"https://{api_address}:6443", "k3s_version": spec.k3s.version}
    if isinstance(spec.mesh, TailscaleSpec):
        result["tailscale_version"] = spec.mesh.version
    if isinstance(spec.gitops, FluxSpec):
        result["flux_version"] = spec.gitops.distribution.version
    if spec.telemetry:
        result["telemetry_endpoint"] = spec.telemetry.gateway
    if spec.inference:
        result |= {
            f"inference_{protocol}_endpoint": f"triton.{INFERENCE_NAMESPACE}.svc:{port}"
            for protocol, port in (("http", 8000), ("grpc", 8001), ("metrics", 8002))
        }
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
