"""Kubernetes objects and Helm releases that plans describe as plain values, made into Pulumi resources.

Plans speak the API's own camelCase, and so does the provider. Nothing here decides what an object should hold.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.base import EdgeComponent
from components.manifests import HelmRelease, Manifest

_SDK_VERSION = importlib.metadata.version("pulumi-kubernetes")
"""Version of the provider that the objects ask for, as the SDK's own classes do."""


def create(
    component: EdgeComponent,
    name: str,
    manifest: Manifest,
    *,
    provider: kubernetes.Provider,
    depends_on: Sequence[pulumi.Resource] = (),
    **options: Any,
) -> pulumi.CustomResource:
    """The resource ``name`` for ``manifest``, below ``component``."""
    api_version, kind = manifest["apiVersion"], manifest["kind"]
    group = api_version if "/" in api_version else f"core/{api_version}"
    body = {**manifest, "kind": kind.removesuffix("Patch")}
    if kind == "Secret":
        values = [key for key in ("data", "stringData") if key in body]
        body |= {key: pulumi.Output.secret(body[key]) for key in values}
        options = {"additional_secret_outputs": values, **options}
    # By its type token, as the SDK's classes do it: those would cost a quarter of a second to import, and they would
    # only translate names that the plan already has right. The API's own schema checks the fields.
    return pulumi.CustomResource(
        f"kubernetes:{group}:{kind}",
        name,
        body,
        component.under(*depends_on, provider=provider, version=_SDK_VERSION, **options),
    )


def release(
    component: EdgeComponent,
    name: str,
    plan: HelmRelease,
    *,
    provider: kubernetes.Provider,
    values: pulumi.Input[Mapping[str, Any]] | None = None,
    depends_on: Sequence[pulumi.Resource] = (),
    **options: Any,
) -> kubernetes.helm.v3.Release:
    """The Helm release of ``plan``; ``values`` replaces the plan's where some of them are only known as Outputs."""
    return kubernetes.helm.v3.Release(
        name,
        name=plan.name,
        chart=plan.chart,
        version=plan.version,
        namespace=plan.namespace,
        create_namespace=plan.create_namespace,
        repository_opts={"repo": plan.repository} if plan.repository else None,
        values=values if values is not None else dict(plan.values),
        # A release that failed half-way is taken back, so that the next `up` starts from a known state.
        atomic=True,
        cleanup_on_fail=True,
        timeout=plan.timeout_s,
        opts=component.under(*depends_on, provider=provider, **options),
    )
