"""What sites of the lab waive: their kernel may have no WireGuard, and charts and registries are the lab's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ALWAYS: tuple[dict[str, Any], ...] = (
    {
        "rule": "network/mtls-strict",
        "reason": "hosts of the lab share one kernel, which may have no WireGuard, and their network never leaves it",
        "owner": "the lab",
        "expires": "2099-12-31",
    },
)

_OF_FLUX: tuple[dict[str, Any], ...] = tuple(
    {"rule": rule, "reason": reason, "owner": "the lab", "expires": "2099-12-31"}
    for rule, reason in (
        (
            "supply-chain/opaque",
            "the chart of Flux' operator is a stand-in, made by the lab and served by its own registry",
        ),
        ("supply-chain/chart-repository", "the chart of Flux' operator is served by the lab's own registry"),
        ("supply-chain/image-rewrite", "images of Flux are stand-ins, made by the lab and served by its own registry"),
    )
)

_OF_MIRRORS: tuple[dict[str, Any], ...] = (
    {
        "rule": "supply-chain/image-mirror",
        "reason": "hosts of the lab reach no registry but the lab's own, which is a new one in each run",
        "owner": "the lab",
        "expires": "2099-12-31",
    },
)


def waivers_of(blocks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a site of the lab with a cluster waives; ``blocks`` are those of its site file."""
    mirrors = (blocks.get("k3s") or {}).get("registries")
    return [*_ALWAYS, *(_OF_FLUX if blocks.get("gitops") else ()), *(_OF_MIRRORS if mirrors else ())]
