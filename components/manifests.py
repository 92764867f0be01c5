"""What runs in a site's cluster, as plain values: objects as the Kubernetes API takes them, and Helm releases. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Manifest = Mapping[str, Any]
"""One object as the Kubernetes API takes it: apiVersion, kind, metadata, and the rest."""


@dataclass(frozen=True)
class HelmRelease:
    """A chart at an exact version, to be installed under a fixed release name."""

    name: str
    chart: str
    version: str
    namespace: str
    repository: str | None = None
    """Repository URL; None when ``chart`` itself is an ``oci://`` address."""
    values: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: int = 600
