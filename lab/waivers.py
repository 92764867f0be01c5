"""What sites of the lab waive, in one place: their kernel may have no WireGuard, and Flux' chart is the lab's own."""

from __future__ import annotations

from typing import Any

WAIVERS: tuple[dict[str, Any], ...] = (
    {
        "rule": "network/mtls-strict",
        "reason": "hosts of the lab share one kernel, which may have no WireGuard, and their network never leaves it",
        "owner": "the lab",
        "expires": "2099-12-31",
    },
)

OF_CHARTS: tuple[dict[str, Any], ...] = tuple(
    {
        "rule": rule,
        "reason": "the chart of Flux' operator is a stand-in, made by the lab and served by its own registry",
        "owner": "the lab",
        "expires": "2099-12-31",
    }
    for rule in ("supply-chain/opaque", "supply-chain/chart-repository")
)
"""What a site of the lab with Flux waives beside that."""
