"""Kubernetes events: which collector reads them, with which rights, and what of them it sends.

Pure. Each collector has the receiver, and a Lease says whose one reads: were it the collector of one host, a shared
object would name a host, and nothing would read while that host is away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.telemetry.spec import Events

RECEIVER = "k8s_events"
ELECTOR = "k8s_leader_elector"
LEASE = "otel-events"
_LEASES = "coordination.k8s.io"

ATTRIBUTES = (
    *("k8s.namespace.name", "k8s.node.name", "k8s.object.kind", "k8s.object.name"),
    *("k8s.event.reason", "k8s.event.count"),
)
"""Of an event, beside its message and its type, which is the severity. The others are dropped: identities, and names
with a part of them, are new with each event and make new streams in a store."""

RIGHTS: Sequence[Mapping[str, Sequence[str]]] = (
    {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]},
)
"""In all namespaces. The receiver asks the core API, which shows those of `events.k8s.io` too."""

RIGHTS_ON_LEASE: Sequence[Mapping[str, Sequence[str]]] = (
    {"apiGroups": [_LEASES], "resources": ["leases"], "resourceNames": [LEASE], "verbs": ["get", "update"]},
    # Kubernetes cannot bind `create` to a name.
    {"apiGroups": [_LEASES], "resources": ["leases"], "verbs": ["create"]},
)
"""In the collectors' own namespace."""


def elector(namespace: str) -> dict[str, Any]:
    """Slower than its defaults, which write to the API's database, so to an edge host's disk, every 2 s."""
    return {
        "auth_type": "serviceAccount",
        "lease_name": LEASE,
        "lease_namespace": namespace,
        "lease_duration": "60s",
        "renew_deadline": "40s",
        "retry_period": "10s",
    }


def receiver(events: Events) -> dict[str, Any]:
    """Reads what is not older than its own process. It keeps no place."""
    return {
        "auth_type": "serviceAccount",
        ELECTOR: ELECTOR,
        **({"namespaces": list(events.namespaces)} if events.namespaces else {}),
    }
