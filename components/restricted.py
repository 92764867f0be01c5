"""What every namespace and pod of a site starts from: the restricted Pod Security Standard, and no traffic.

Pure values, used by the plans of the parts that run in the cluster. What a part may talk to beyond this is the
part's own business; the Pod Security Standard itself is Kubernetes'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.manifests import Manifest

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""Label that the API server sets on each namespace."""

DNS: Mapping[str, Any] = {
    "to": [
        {
            "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ],
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
}
"""Egress rule: name resolution."""


def namespace(name: str) -> Manifest:
    """A namespace in which the API server refuses every pod that is not restricted."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/audit": "restricted",
                "pod-security.kubernetes.io/warn": "restricted",
            },
        },
    }


def default_deny(namespace: str) -> Manifest:
    """No pod of the namespace sends or receives anything that another policy does not allow."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }


def allow(
    namespace: str,
    pods: Mapping[str, str],
    *,
    ingress: Sequence[Mapping[str, Any]] = (),
    egress: Sequence[Mapping[str, Any]] = (),
    name: str = "allow",
) -> Manifest:
    """The policy ``name`` of ``namespace``: what pods with the labels ``pods`` (all, when empty) may do."""
    spec: dict[str, Any] = {"podSelector": {"matchLabels": dict(pods)} if pods else {}, "policyTypes": []}
    if ingress:
        spec["policyTypes"].append("Ingress")
        spec["ingress"] = [dict(rule) for rule in ingress]
    if egress:
        spec["policyTypes"].append("Egress")
        spec["egress"] = [dict(rule) for rule in egress]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def tcp(*ports: int) -> list[dict[str, Any]]:
    """``ports`` as the `ports` of a policy rule, each once and in ascending order."""
    return [{"protocol": "TCP", "port": port} for port in sorted(set(ports))]


def from_namespace(name: str) -> list[dict[str, Any]]:
    """All pods of one namespace, as the `from` or `to` of a policy rule."""
    return [{"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: name}}}]


def pod_security(user: int) -> dict[str, Any]:
    """A pod's security context: user and group ``user``, which also owns its volumes."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """A container's security context: no privilege, no capability, nothing to write outside its volumes."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def service_account(name: str, namespace: str) -> Manifest:
    """An identity whose token no pod gets unless the pod asks for it by a projected volume."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace},
        "automountServiceAccountToken": False,
    }


def default_account(namespace: str) -> Manifest:
    """Takes the token from the `default` ServiceAccount, which Kubernetes makes in every namespace (CIS 5.1.5)."""
    return {**service_account("default", namespace), "kind": "ServiceAccountPatch"}
