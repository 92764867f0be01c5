"""Kubernetes objects and Helm releases that plans describe as plain values, made into Pulumi resources.

Plans use the API's own camelCase names, as the provider does. Nothing here decides what an object should hold.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.base import EdgeComponent
from components.manifests import HelmRelease, Manifest
from components.restricted import default_account

_SDK_VERSION = importlib.metadata.version("pulumi-kubernetes")
"""Version of the provider that the objects ask for, as the SDK's own classes do."""


def create(
    component: EdgeComponent,
    name: str,
    manifest: Manifest,
    *,
    depends_on: Sequence[pulumi.Resource] = (),
    **options: Any,
) -> pulumi.CustomResource:
    """The resource ``name`` for ``manifest``, below ``component``, whose provider it takes.

    With a namespace comes the patch of its `default` ServiceAccount.
    """
    api_version, kind = manifest["apiVersion"], manifest["kind"]
    group = api_version if "/" in api_version else f"core/{api_version}"
    body = {**manifest, "kind": kind.removesuffix("Patch")}
    if kind == "Secret":
        values = [key for key in ("data", "stringData") if key in body]
        body |= {key: pulumi.Output.secret(body[key]) for key in values}
        options = {"additional_secret_outputs": values, **options}
    # By its type token, as the SDK's classes do it: plans have the API's own names already, and its schema checks them.
    made = pulumi.CustomResource(
        f"kubernetes:{group}:{kind}",
        name,
        body,
        component.in_cluster(*depends_on, version=_SDK_VERSION, **options),
    )
    if kind == "Namespace":
        # Here, so that no part can make a namespace without it.
        account = default_account(manifest["metadata"]["name"])
        create(component, f"{name}-default-account", account, depends_on=[made])
    return made


def release(
    component: EdgeComponent,
    name: str,
    plan: HelmRelease,
    *,
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
        # A chart that made its own namespace would leave out what `create` puts beside one.
        create_namespace=False,
        repository_opts={"repo": plan.repository} if plan.repository else None,
        values=values if values is not None else dict(plan.values),
        # A release that failed half-way is rolled back, so that the next `up` starts from a known state.
        atomic=True,
        cleanup_on_fail=True,
        timeout=plan.timeout_s,
        opts=component.in_cluster(*depends_on, **options),
    )
