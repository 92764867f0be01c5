"""Kubernetes objects and Helm releases that plans describe as plain values, made into Pulumi resources.

Plans speak the API's own camelCase; this is the one place that knows the SDK's classes. Nothing here decides what an
object should hold.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apiextensions import CustomResource

from components.base import EdgeComponent
from components.manifests import HelmRelease, Manifest

_SDK_MODULES = {"": "core", "rbac.authorization.k8s.io": "rbac", "networking.k8s.io": "networking"}


@functools.lru_cache(maxsize=128)
def _sdk_class(api_version: str, kind: str) -> Callable[..., pulumi.CustomResource] | None:
    """The SDK's class of a built-in kind, or None for kinds that only a CustomResourceDefinition defines."""
    group, _, version = api_version.rpartition("/")
    module = _SDK_MODULES.get(group, group)
    if "." in module:
        return None
    try:
        return getattr(importlib.import_module(f"pulumi_kubernetes.{module}.{version}"), kind, None)
    except ModuleNotFoundError:
        return None


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
    opts = component.under(*depends_on, provider=provider, **options)
    api_version, kind = manifest["apiVersion"], manifest["kind"]
    body = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")}
    sdk_class = _sdk_class(api_version, kind)
    if sdk_class is None:
        return CustomResource(
            name, api_version=api_version, kind=kind, metadata=manifest["metadata"], opts=opts, **body
        )
    return sdk_class(name, opts=opts, metadata=manifest["metadata"], **{_snake(key): body[key] for key in body})


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


@functools.lru_cache(maxsize=512)
def _snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
