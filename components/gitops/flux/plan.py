"""What Flux needs in a cluster, as plain values: namespace, operator, instance, source, Kustomization.

Owns the objects of `flux-system` and nothing that Flux applies: an object has one owner, Pulumi or Flux.
Holds no secret: the component adds those to the objects named here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components import egress_of_pods, ports, urls
from components.egress import Egress
from components.gitops.flux.credentials import (
    AGE_KEY,
    CA,
    COMMIT_STATUS,
    LOGIN,
    NAMESPACE,
    PROXY,
    of_alert,
    of_source,
    secret,
)
from components.gitops.flux.sources import GitSource, OciSource
from components.gitops.flux.spec import FluxSpec, TenancySpec, seconds
from components.manifests import Manifest
from components.restricted import DNS, allow, default_deny, namespace, tcp

NO_EGRESS = Egress()
SOURCE = "edge-configs"
KUSTOMIZATION = "edge-inference-stack"
VARIABLES = "site"
SIGNERS = "edge-configs-signers"
_AFTER_AN_ATTEMPT_S = 15
_REFERRING = (
    "(kustomize-controller|helm-controller|notification-controller|image-reflector-controller|"
    "image-automation-controller)"
)
_METADATA = "169.254.169.254"


@dataclass(frozen=True)
class FluxPlan:
    """Everything that makes a site pull its workloads."""

    namespace: Manifest
    network_policies: tuple[Manifest, ...]
    operator_values: Mapping[str, Any]
    instance: Manifest
    signers: Manifest | None
    """Public keys that the source is verified with; None for keyless or no verification."""
    variables: Manifest
    source: Manifest
    kustomization: Manifest
    reports: Mapping[str, Manifest]
    """Who is told what Flux does, by role: a Provider and an Alert for each."""


def wait_s(spec: FluxSpec) -> int | None:
    """How long the source, and then the Kustomization, may take to be Ready; None where nobody waits.

    Longer than one attempt to read the source: the controller then says itself why it has failed.
    """
    if spec.wait_ready == "never":
        return None
    return seconds(spec.wait_ready) if spec.wait_ready else seconds(spec.source.timeout) + _AFTER_AN_ATTEMPT_S


def request(*parts: Any) -> str:
    """A request to Flux to look at once: another one for other ``parts``, which are plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def requested(asked: Any) -> dict[str, Any]:
    """Annotations of an object that its controller looks at as soon as it is applied."""
    # `flux reconcile` and webhooks write the second one too, and would own it otherwise.
    return {"pulumi.com/patchForce": "true", "reconcile.fluxcd.io/requestedAt": asked}


def ready(asked: str) -> str:
    """When an object counts as done, for `pulumi.com/waitFor`: its controller has dealt with the request ``asked``, so
    that a Ready from before a change of the password does not do, and it is Ready."""
    return json.dumps(["condition=Ready", f"jsonpath={{.status.lastHandledReconcileAt}}={asked}"])


def plan(
    spec: FluxSpec, *, site: str, tier: str, region: str, labels: Mapping[str, str], egress: Egress = NO_EGRESS
) -> FluxPlan:
    """Flux for one site. Raises ValueError when two labels would become the same variable."""
    return FluxPlan(
        namespace=namespace(NAMESPACE),
        network_policies=(default_deny(NAMESPACE), _allowed(spec, egress), *_asks_its_machine(spec)),
        operator_values=_operator_values(spec),
        instance=_instance(spec),
        signers=_signers(spec),
        variables={
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": VARIABLES, "namespace": NAMESPACE},
            "data": site_variables(site=site, tier=tier, region=region, labels=labels),
        },
        source=_git_repository(spec, spec.source)
        if isinstance(spec.source, GitSource)
        else _oci_repository(spec, spec.source),
        kustomization=_kustomization(spec),
        reports=_reports(spec, {"site": site, "tier": tier, "region": region}),
    )


def site_variables(*, site: str, tier: str, region: str, labels: Mapping[str, str]) -> dict[str, str]:
    """What `${site}`, `${tier}`, `${region}` and `${label_<name>}` stand for in the manifests that Flux applies.

    A label's key becomes lower case, with every other character than letters and digits as `_`.
    """
    variables = {"site": site, "tier": tier, "region": region}
    origins: dict[str, str] = {}
    for key in sorted(labels):
        name = "label_" + re.sub(r"[^a-z0-9]", "_", key.lower())
        if name in origins:
            raise ValueError(f"labels {origins[name]!r} and {key!r} would both be the variable {name}: rename one")
        origins[name] = key
        variables[name] = labels[key]
    return variables


def way_out(egress: Egress, mark: str) -> str:
    """The patch by which every controller goes out as the site does, for its own source and for those that the source
    brings. With another ``mark`` they start anew (``HeldEgress.mark``)."""
    container: dict[str, Any] = {"name": "manager", **egress_of_pods.container(egress)}
    if variables := egress_of_pods.of_go(egress):
        container["env"] = variables
    pod: dict[str, Any] = {"containers": [container]}
    if volumes := egress_of_pods.volumes(egress):
        pod["volumes"] = volumes
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            # The target says which; a patch needs some name.
            "metadata": {"name": "all"},
            "spec": {"template": {"metadata": {"annotations": {egress_of_pods.MARK: mark}}, "spec": pod}},
        }
    )


def patched(instance: Manifest, patch: Any) -> Manifest:
    """``instance`` with one more patch of all controllers."""
    target = {"kind": "Deployment", "labelSelector": "app.kubernetes.io/part-of=flux"}
    patches = [*instance["spec"]["kustomize"]["patches"], {"target": target, "patch": patch}]
    return {**instance, "spec": {**instance["spec"], "kustomize": {"patches": patches}}}


def _allowed(spec: FluxSpec, egress: Egress) -> Manifest:
    source = spec.source
    reached = [urls.parse(source.git if isinstance(source, GitSource) else source.oci).port]
    reached += [urls.parse(source.proxy.url).port] if source.proxy else []
    reached += [egress.proxy.port] if egress.proxy else []
    told = [one.address for one in (*spec.alerts.values(), spec.commit_status) if one]
    reached += [urls.parse(address).port for address in told if address]
    return allow(
        NAMESPACE,
        {},
        # The controllers fetch artifacts from source-controller and send events to notification-controller.
        ingress=({"from": [{"podSelector": {}}]},),
        egress=(
            {"to": [{"podSelector": {}}]},
            DNS,
            # Registries and the source have names, not addresses that a policy could hold.
            {"ports": tcp(ports.HTTPS, ports.KUBERNETES_API, *reached)},
        ),
    )


def _asks_its_machine(spec: FluxSpec) -> tuple[Manifest, ...]:
    """Where a cloud knows it by the machine that it runs on, source-controller asks that cloud's metadata service."""
    if spec.source.provider == "generic" or spec.source.identity:
        return ()
    to = [{"ipBlock": {"cidr": f"{_METADATA}/32"}}]
    return (
        allow(NAMESPACE, {"app": "source-controller"}, egress=({"to": to, "ports": tcp(80)},), name="allow-metadata"),
    )


def _operator_values(spec: FluxSpec) -> dict[str, Any]:
    values: dict[str, Any] = {
        "web": {"enabled": False, "networkPolicy": {"create": False}},
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": "1000m", "memory": "512Mi"},
        },
    }
    if spec.operator.image:
        # The chart joins repository and tag with a colon, which is also what a digest has before its hex digits.
        repository, _, digest = spec.operator.image.rpartition(":")
        values["image"] = {"repository": repository, "tag": digest}
    return values


def _instance(spec: FluxSpec) -> Manifest:
    return {
        "apiVersion": "fluxcd.controlplane.io/v1",
        "kind": "FluxInstance",
        "metadata": {
            "name": "flux",
            "namespace": NAMESPACE,
            # Source and Kustomization need the definitions that the operator installs for this instance.
            "annotations": {"pulumi.com/waitFor": "condition=Ready"},
        },
        "spec": {
            "distribution": {"version": spec.distribution.version, "registry": spec.distribution.registry},
            "components": list(spec.distribution.components),
            # The operator's own policies would let the controllers send anything anywhere.
            "cluster": {"type": "kubernetes", "size": "small", "networkPolicy": False, **_tenancy(spec.tenancy)},
            "kustomize": {"patches": [_retry_within(spec.interval), *_identity(spec), *_exceptions(spec.tenancy)]},
        },
    }


def _tenancy(tenancy: TenancySpec) -> dict[str, Any]:
    """The operator's own lock-down, which has no exceptions."""
    found: dict[str, Any] = {"multitenant": tenancy.locked}
    if tenancy.locked and tenancy.default_service_account != "default":
        found["tenantDefaultServiceAccount"] = tenancy.default_service_account
    return found


def _exceptions(tenancy: TenancySpec) -> list[Manifest]:
    """With an exception, what is left of the lock-down, by the flags that the operator would set."""
    if tenancy.locked:
        return []
    found = []
    if not tenancy.cross_namespace_refs:
        found.append(_argument(_REFERRING, "--no-cross-namespace-refs=true"))
    if not tenancy.remote_bases:
        found.append(_argument("kustomize-controller", "--no-remote-bases=true"))
    if account := tenancy.default_service_account:
        found.append(_argument("(kustomize-controller|helm-controller)", f"--default-service-account={account}"))
    return found


def _retry_within(interval: str) -> Manifest:
    """Left alone, source-controller doubles its wait with each failure, up to 15 minutes: too long after an outage."""
    return _argument("source-controller", f"--max-retry-delay={interval}")


def _argument(deployments: str, value: str) -> Manifest:
    """One more argument for controllers, whose names are an expression."""
    argument = {"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": value}
    return {"target": {"kind": "Deployment", "name": deployments}, "patch": json.dumps([argument])}


def _identity(spec: FluxSpec) -> list[Manifest]:
    """What clouds' webhooks look for: annotations of the account and, for Azure, a label of its pods."""
    name = "source-controller"
    if not spec.source.identity:
        return []
    metadata = {"name": name, "annotations": dict(sorted(spec.source.identity.items()))}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    found: list[Manifest] = [{"target": {"kind": "ServiceAccount", "name": name}, "patch": json.dumps(account)}]
    if spec.source.provider == "azure":
        labelled = {"template": {"metadata": {"labels": {"azure.workload.identity/use": "true"}}}}
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": labelled}
        found.append({"target": {"kind": "Deployment", "name": name}, "patch": json.dumps(deployment)})
    return found


def _signers(spec: FluxSpec) -> Manifest | None:
    verify = spec.source.verify
    if verify is None or not verify.keys:
        return None
    suffix = "asc" if isinstance(spec.source, GitSource) else "pub"
    return secret(SIGNERS, {f"{signer}.{suffix}": verify.keys[signer] for signer in sorted(verify.keys)})


def _git_repository(spec: FluxSpec, source: GitSource) -> Manifest:
    names = {"tag": "tag", "semver": "semver", "commit": "commit", "ref": "name"}
    reference = {name: value for field, name in names.items() if (value := getattr(source, field))}
    body = _reached(spec, source.git, reference or {"branch": source.branch or "main"})
    if source.sparse_checkout:
        body["sparseCheckout"] = list(source.sparse_checkout)
    if source.github_app:
        body["provider"] = "github"
    if source.verify:
        body["verify"] = {"mode": source.verify.mode, "secretRef": {"name": SIGNERS}}
    return _source("GitRepository", body)


def _oci_repository(spec: FluxSpec, source: OciSource) -> Manifest:
    reference = {name: value for name in ("tag", "semver", "digest") if (value := getattr(source, name))}
    body = _reached(spec, source.oci, reference)
    if source.verify:
        body["verify"] = {"provider": "cosign"}
        if source.verify.keys:
            body["verify"]["secretRef"] = {"name": SIGNERS}
        else:
            body["verify"]["matchOIDCIdentity"] = [identity.model_dump() for identity in source.verify.identities]
    return _source("OCIRepository", body)


def _reached(spec: FluxSpec, url: str, reference: Mapping[str, str]) -> dict[str, Any]:
    """What both kinds of source have."""
    source = spec.source
    body: dict[str, Any] = {
        "interval": spec.interval,
        "timeout": source.timeout,
        "url": url,
        "ref": dict(reference),
    }
    fields = {LOGIN: "secretRef", CA: "certSecretRef", PROXY: "proxySecretRef"}
    body |= {fields[one.name]: {"name": one.name} for one in of_source(spec)}
    if source.provider != "generic":
        body["provider"] = source.provider
    if source.ignore:
        body["ignore"] = source.ignore
    return body


def _reports(spec: FluxSpec, of: Mapping[str, str]) -> dict[str, Manifest]:
    found: dict[str, Manifest] = {}
    for name in sorted(spec.alerts):
        alert, login = spec.alerts[name], of_alert(name, spec.alerts[name])
        receiver: dict[str, Any] = {"type": alert.kind}
        receiver |= {field: value for field in ("address", "channel") if (value := getattr(alert, field))}
        if login:
            receiver["secretRef"] = {"name": login.name}
        told = {
            "eventSeverity": alert.severity,
            # Flux lets an alert look at its own namespace only.
            "eventSources": [
                {"kind": _source_kind(spec), "name": SOURCE},
                {"kind": "Kustomization", "name": "*"},
                {"kind": "HelmRelease", "name": "*"},
            ],
            "eventMetadata": dict(of),
        }
        found |= _report(f"alert-{name}", f"edge-alert-{name}", receiver, told)
    if status := spec.commit_status:
        assert isinstance(spec.source, GitSource), "refused otherwise"
        receiver = {
            "type": status.kind,
            "address": status.address or spec.source.git,
            "secretRef": {"name": COMMIT_STATUS},
            # By default, the name is the same for all sites that follow the repository, but for an id.
            "commitStatusExpr": f"'edge/{of['site']}'",
        }
        told = {"eventSeverity": "info", "eventSources": [{"kind": "Kustomization", "name": KUSTOMIZATION}]}
        found |= _report("commit-status", COMMIT_STATUS, receiver, told)
    return found


def _report(role: str, name: str, receiver: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Manifest]:
    def manifest(kind: str, spec: Mapping[str, Any]) -> Manifest:
        return {
            "apiVersion": "notification.toolkit.fluxcd.io/v1beta3",
            "kind": kind,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": dict(spec),
        }

    return {
        f"{role}-receiver": manifest("Provider", receiver),
        role: manifest("Alert", {"providerRef": {"name": name}, **told}),
    }


def _source_kind(spec: FluxSpec) -> str:
    return "GitRepository" if isinstance(spec.source, GitSource) else "OCIRepository"


def _source(kind: str, body: Mapping[str, Any]) -> Manifest:
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": kind,
        "metadata": {"name": SOURCE, "namespace": NAMESPACE},
        "spec": body,
    }


def _kustomization(spec: FluxSpec) -> Manifest:
    body: dict[str, Any] = {
        "interval": spec.interval,
        "path": spec.path,
        "prune": True,
        "sourceRef": {
            "kind": _source_kind(spec),
            "name": SOURCE,
        },
        # The controller's own: the site's Kustomization may apply anything.
        "serviceAccountName": "kustomize-controller",
    }
    if spec.substitute:
        body["postBuild"] = {"substituteFrom": [{"kind": "ConfigMap", "name": VARIABLES}]}
        if spec.variables:
            body["postBuild"]["substitute"] = dict(sorted(spec.variables.items()))
    if spec.replicas:
        body["patches"] = [
            {
                "target": {"kind": "Deployment", "name": deployment},
                "patch": json.dumps([{"op": "replace", "path": "/spec/replicas", "value": spec.replicas[deployment]}]),
            }
            for deployment in sorted(spec.replicas)
        ]
    if spec.decryption == "sops-age":
        body["decryption"] = {"provider": "sops", "secretRef": {"name": AGE_KEY}}
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": KUSTOMIZATION, "namespace": NAMESPACE},
        "spec": body,
    }
