"""Parses type tokens: which kind a resource is of, in any API version, with or without ``Patch``."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

_VERSION = re.compile(r"v\d+\w*")
_BUILT_IN = frozenset(
    (
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    )
)
"""API groups with a dot in their name whose kinds Kubernetes itself defines: none of them runs a pod."""


class Kind(NamedTuple):
    """What a type token says."""

    provider: str
    """``kubernetes``, ``command``, ``edge``, ..."""

    group: str
    """API group of a Kubernetes object (``core``, ``apps``, ...); the module of any other type."""

    name: str
    """Kind or type name, without ``Patch``."""

    patch: bool = False
    """Whether the object only sets some fields of one that exists."""

    @property
    def kubernetes(self) -> bool:
        """Whether it is an object of the Kubernetes API; charts and files of manifests are not."""
        return self.provider == "kubernetes" and self.group not in ("helm.sh", "yaml", "kustomize", "")

    @property
    def custom(self) -> bool:
        """Whether the kind may be defined by a CustomResourceDefinition."""
        return self.kubernetes and "." in self.group and self.group not in _BUILT_IN

    def is_a(self, group: str, *names: str) -> bool:
        """Whether it is one of the Kubernetes kinds ``names`` of an API group."""
        return self.provider == "kubernetes" and self.group == group and self.name in names

    def is_part(self, *names: str) -> bool:
        """Whether it is one of this project's components."""
        return self.provider == "edge" and self.name in names

    @property
    def command(self) -> bool:
        """Whether it runs or copies something on a machine."""
        return self.provider == "command"


@functools.lru_cache(maxsize=1024)
def kind_of(token: str) -> Kind:
    """The kind that a type token names. Never raises: a token of another form is a kind of its own."""
    parts = token.split(":")
    if len(parts) != 3:
        return Kind(parts[0], "", token)
    provider, module, name = parts
    if provider != "kubernetes":
        return Kind(provider, module, name)
    head, _, version = module.partition("/")
    group = head if version or _VERSION.fullmatch(head) is None else "core"
    if name.endswith("Patch") and name != "Patch":
        return Kind(provider, group, name.removesuffix("Patch"), True)
    return Kind(provider, group, name)


def manifest_token(api_version: str, kind: str) -> str:
    """The type token of a Kubernetes object with this ``apiVersion`` and ``kind``."""
    return f"kubernetes:{api_version if '/' in api_version else f'core/{api_version}'}:{kind}"
