"""Flux in a site's cluster, as Pulumi resources in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components import egress_of_pods
from components.base import EdgeComponent
from components.gitops.flux import credentials
from components.gitops.flux import plan as flux
from components.gitops.flux.credentials import Credentials
from components.gitops.flux.spec import FluxSpec
from components.manifests import HelmRelease, Manifest
from components.objects import create, release
from components.part import HeldEgress
from components.view import Site


@dataclass(frozen=True)
class FluxArgs:
    """What Flux in a site's cluster is made from. Secrets are those of ``required_secrets``."""

    spec: FluxSpec
    site: Site
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """By key of the stack's configuration, such as `git-ssh-key`."""
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
        for key in credentials.required_secrets(spec):
            if key not in args.secrets:
                raise pulumi.RunError(
                    f"{site.name}: Flux needs the secret {key}: pulumi config set --secret edge:{key}"
                )
        planned = flux.plan(
            spec, site=site.name, tier=site.tier, region=site.region, labels=site.labels, egress=site.egress
        )
        super().__init__("Flux", name, {}, opts)

        def make(role: str, manifest: Manifest, *after: pulumi.Resource, **options: Any) -> pulumi.CustomResource:
            return create(self, f"{name}-{role}", manifest, depends_on=after, **options)

        limit_s = flux.wait_s(spec)

        def make_ready(
            role: str, manifest: Manifest, asked: pulumi.Output[str], *after: pulumi.Resource
        ) -> pulumi.CustomResource:
            annotations: dict[str, pulumi.Input[str]] = flux.requested(asked)
            limit = None
            if limit_s:
                annotations["pulumi.com/waitFor"] = asked.apply(flux.ready)
                # Not for its deletion: with the Kustomization go the workloads, which takes longer.
                limit = pulumi.CustomTimeouts(create=f"{limit_s}s", update=f"{limit_s}s")
            metadata = {**manifest["metadata"], "annotations": annotations}
            return make(role, {**manifest, "metadata": metadata}, *after, custom_timeouts=limit)

        def secrets_of(*all_of: Credentials) -> list[pulumi.Resource]:
            return [make(one.role, credentials.manifest(one, _values(one, args.secrets)), namespace) for one in all_of]

        def held(*all_of: Credentials) -> tuple[list[pulumi.Resource], pulumi.Output[str]]:
            """The Secrets, and a mark that changes with what they hold."""
            used = {key: args.secrets[key] for one in all_of for key in one.private.values()}
            made = secrets_of(*all_of)
            if not used:
                return made, pulumi.Output.from_input("")
            marks = pulumi.Output.all(**used).apply(lambda values: credentials.mark(site.name, values))
            return made, pulumi.Output.secret(marks)

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
                namespace=credentials.NAMESPACE,
                values=planned.operator_values,
            ),
            depends_on=(namespace, *closed),
        )
        needed_by_instance: list[pulumi.Resource] = [operator]
        flux_instance = planned.instance
        if args.egress is not None:
            for role, manifest in egress_of_pods.objects(
                site.egress, credentials.NAMESPACE, args.egress.variables
            ).items():
                needed_by_instance.append(make(role, manifest, namespace))
            patch = args.egress.mark.apply(lambda mark: flux.way_out(site.egress, mark))
            flux_instance = flux.patched(planned.instance, patch)
        instance = make("instance", flux_instance, *needed_by_instance)

        tokens = secrets_of(*credentials.of_reports(spec))
        for role, manifest in planned.reports.items():
            make(role, manifest, instance, *tokens)

        public = credentials.of_source(spec)
        logins, mark = held(*public)
        needed_by_source = [instance, *logins]
        if planned.signers:
            needed_by_source.append(make("signers", planned.signers, namespace))
        readable = [dict(one.public) for one in public]
        asked = mark.apply(lambda mark: flux.request(planned.source, readable, planned.signers, mark))
        source = make_ready("source", planned.source, asked, *needed_by_source)

        keys, mark = held(*credentials.of_decryption(spec))
        asked = pulumi.Output.all(asked, mark).apply(
            lambda both: flux.request(planned.kustomization, planned.variables, *both)
        )
        variables = make("variables", planned.variables, namespace)
        self.kustomization = make_ready("kustomization", planned.kustomization, asked, source, variables, *keys)
        self.register_outputs({})


def _values(one: Credentials, secrets: Mapping[str, pulumi.Input[str]]) -> Mapping[str, pulumi.Input[str]]:
    """The secret values of a Secret."""
    values = {name: secrets[key] for name, key in one.private.items()}
    if not one.registry:
        return values
    config = pulumi.Output.from_input(values["password"]).apply(
        lambda password: credentials.docker_config(one.registry, one.public["username"], password)
    )
    return {".dockerconfigjson": config}
