"""Which providers a rehearsal plays."""

from __future__ import annotations

from collections.abc import Mapping

PROVIDERS: Mapping[str, str] = {
    "command": "pulumi-command",
    "kubernetes": "pulumi-kubernetes",
    "azure-native": "pulumi-azure-native",
    "aws": "pulumi-aws",
    "tailscale": "pulumi-tailscale",
    "rancher2": "pulumi-rancher2",
    "tls": "pulumi-tls",
}
"""Provider -> the package of its SDK, whose version the provider reports: an older one would make the engine warn."""
