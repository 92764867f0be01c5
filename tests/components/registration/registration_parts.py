"""Specs that the tests of registrations start from."""

from __future__ import annotations

from typing import Any

from components.registration.arc.spec import ArcSpec

SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
TENANT = "00000000-0000-4000-8000-000000000002"
GROUP = "00000000-0000-4000-8000-000000000003"
SCOPE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/edge-eu/providers/Microsoft.Kubernetes/privateLinkScopes/edge-eu"


def arc(**fields: Any) -> ArcSpec:
    return ArcSpec.model_validate(
        {
            "kind": "arc",
            "subscription_id": SUBSCRIPTION,
            "tenant_id": TENANT,
            "resource_group": "edge-eu",
            "location": "westeurope",
            "chart_version": "1.33.0",
            **fields,
        }
    )
