"""Which labels a site may set on its nodes. Pure.

Source: Kubernetes, `IsKubernetesLabel` and `IsKubeletLabel`; a kubelet with any other label of these domains does not
start, and K3s with it.
"""

from __future__ import annotations

_OWN = ("kubernetes.io", "k8s.io")
_ALLOWED_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_ALLOWED = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
)
_OF_THE_NODE = (
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
)


SET_BY_US = ("edge.site", "edge.tier", "edge.region")
"""Labels of every node, by which a site's nodes are found."""


def problem(key: str) -> str | None:
    """Why a site must not set a label on its nodes; None where it may."""
    if key in SET_BY_US:
        return "every node of a site gets this label anyway"
    domain, slash, _ = key.partition("/")
    if not slash or not _within(domain, _OWN):
        return None
    if key in _OF_THE_NODE:
        return "Kubernetes sets this label itself, and finds the node by it"
    if key in _ALLOWED or _within(domain, _ALLOWED_DOMAINS):
        return None
    return "a kubelet may not set this label of Kubernetes' own, and does not start with it"


def _within(domain: str, parents: tuple[str, ...]) -> bool:
    return any(domain == parent or domain.endswith(f".{parent}") for parent in parents)
