"""TCP ports that more than one part of a site must know."""

from __future__ import annotations

SSH = 22
HTTPS = 443

KUBERNETES_API = 6443
"""Where the API server listens on K3s' nodes: policies see the address behind the `kubernetes` Service."""

KUBELET = 10250
"""Where each node's kubelet answers: metrics, logs and commands."""
