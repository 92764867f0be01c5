"""Flux in a site's cluster, as Pulumi resources in the order in which they need each other."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components import egress_of_pods
from components.base import EdgeComponent
from components.gitops.flux import plan as flux
from components.gitops.flux.spec import FluxSpec, GitSource
from components.manifests import HelmRelease, Manifest
from components.objects import create, release
from components.part import HeldEgress
from components.view import Site


@dataclass(frozen=True)
class FluxArgs:
    """What Flux in a site's cluster is made from. Secrets are those that ``plan.required_secrets`` names."""

    spec: FluxSpec
    site: Site
    git_ssh_key: pulumi.Input[str] | None = None
    git_password: pulumi.Input[str] | None = None
    sops_age_key: pulumi.Input[str] | None = None
    egress: HeldEgress | None = None
    """How the controllers go out."""


class Flux(EdgeComponent):
    """``edge:index:Flux``: namespace, operator, instance, then the source and the Kustomization that follow it.

    The site's cluster is the Kubernetes provider of ``opts``. A missing secret is a ``pulumi.RunError``, since Flux
    would otherwise wait for it for ever.
    """

    kustomization: pulumi.CustomResource
    """The Kustomization that applies the site's workloads."""

    def __init__(self, name: str, args: FluxArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        spec, site = args.spec, args.site
        given = {
            "git-ssh-key": args.git_ssh_key,
            "git-password": args.git_password,
            "sops-age-key": args.sops_age_key,
        }
        for key in flux.required_secrets(spec):
            if given[key] is None:
                raise pulumi.RunError(
                    f"{site.name}: Flux needs the secret {key}: pulumi config set --secret edge:{key}"
                )
        planned = flux.plan(
            spec, site=site.name, tier=site.tier, region=site.region, labels=site.labels, egress=site.egress
        )
        super().__init__("Flux", name, {}, opts)

        def make(role: str, manifest: Manifest, *after: pulumi.Resource) -> pulumi.CustomResource:
            return create(self, f"{name}-{role}", manifest, depends_on=after)

        namespace = make("namespace", planned.namespace)
        closed = [
            make(f"network-{policy['metadata']['name']}", policy, namespace) for policy in planned.network_policies
        ]
        operator = release(
            self,
            f"{name}-operator",
            HelmRelease(
                name="flux-operator",
                chart=spec.operator.chart,
                version=spec.operator.version,
                namespace=flux.NAMESPACE,
                values=planned.operator_values,
            ),
            depends_on=(namespace, *closed),
        )
        needed_by_instance: list[pulumi.Resource] = [operator]
        flux_instance = planned.instance
        if args.egress is not None:
            for role, manifest in egress_of_pods.objects(site.egress, flux.NAMESPACE, args.egress.variables).items():
                needed_by_instance.append(make(role, manifest, namespace))
            patch = args.egress.mark.apply(lambda mark: flux.way_out(site.egress, mark))
            flux_instance = flux.patched(planned.instance, patch)
        instance = make("instance", flux_instance, *needed_by_instance)

        needed_by_source: list[pulumi.Resource] = [instance]
        if (public := flux.credentials(spec)) is not None:
            over_ssh = isinstance(spec.source, GitSource) and spec.source.ssh
            private = {"identity": args.git_ssh_key} if over_ssh else {"password": args.git_password}
            credentials = flux.secret(flux.CREDENTIALS, {**public, **private})
            needed_by_source.append(make("credentials", credentials, namespace))
        if planned.signers:
            needed_by_source.append(make("signers", planned.signers, namespace))
        source = make("source", planned.source, *needed_by_source)

        needed_by_kustomization: list[pulumi.Resource] = [source, make("variables", planned.variables, namespace)]
        if spec.decryption == "sops-age":
            age_key = flux.secret(flux.AGE_KEY, {"age.agekey": args.sops_age_key})
            needed_by_kustomization.append(make("age-key", age_key, namespace))
        self.kustomization = make("kustomization", planned.kustomization, *needed_by_kustomization)
        self.register_outputs({})
