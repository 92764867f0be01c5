"""Registering with Azure Arc: the cluster's resource in Azure, and the Helm release of the agents. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.egress import Egress
from components.registration.arc.spec import ArcSpec

NO_EGRESS = Egress()

API_VERSION = "2024-01-01"
"""Newest stable API whose every field the SDK's types know; the SDK's own default is a preview."""

RESOURCE_TYPE = f"azure-native:kubernetes/v{API_VERSION.replace('-', '')}:ConnectedCluster"
CHART = "oci://mcr.microsoft.com/azurearck8s/batch1/stable/v2/azure-arc-k8sagents"
KEY_BITS = 4096
NAMESPACES = ("azure-arc", "azure-arc-release")
"""Namespaces that the agents make and fill; their pods do not meet the restricted Pod Security Standard."""


@dataclass(frozen=True)
class AgentsRelease:
    """The agents' Helm release."""

    name: str
    chart: str
    version: str
    namespace: str
    timeout_s: int
    values: Mapping[str, Any]
    """Without ``global.onboardingPrivateKey``, which is added where the secret is."""


@dataclass(frozen=True)
class ArcPlan:
    """One registration."""

    cluster_name: str
    tags: Mapping[str, str]
    private_link: bool
    release: AgentsRelease


def plan(site: str, spec: ArcSpec, egress: Egress = NO_EGRESS) -> ArcPlan:
    """The registration of ``site``."""
    cluster_name = spec.cluster_name or site
    tags = {**spec.tags, "edge-site": site}
    private_link = spec.private_link_scope_id is not None
    return ArcPlan(
        cluster_name=cluster_name,
        tags=tags,
        private_link=private_link,
        release=AgentsRelease(
            name="azure-arc",
            chart=CHART,
            version=spec.chart_version,
            namespace="azure-arc-release",
            timeout_s=spec.onboarding_minutes * 60,
            values=_values(cluster_name, spec, egress),
        ),
    )


def with_private_key(values: Mapping[str, Any], private_key: Any) -> dict[str, Any]:
    """``values`` with the key that proves to Azure that these agents belong to the registration."""
    return {**values, "global": {**values["global"], "onboardingPrivateKey": private_key}}


def with_proxy(values: Mapping[str, Any], variables: Any) -> dict[str, Any]:
    """``values`` with the site's proxy, whose URL may hold a login: ``variables`` are an Output of the environment."""
    settings = {
        "isProxyEnabled": True,
        "httpProxy": variables["HTTP_PROXY"],
        "httpsProxy": variables["HTTPS_PROXY"],
        "noProxy": variables["NO_PROXY"],
    }
    return {**values, "global": {**values["global"], **settings}}


def _values(cluster_name: str, spec: ArcSpec, egress: Egress) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "subscriptionId": spec.subscription_id,
        "tenantId": spec.tenant_id,
        "resourceGroupName": spec.resource_group,
        "resourceName": cluster_name,
        "location": spec.location,
        "kubernetesDistro": "k3s",
        "kubernetesInfra": "generic",
        "azureEnvironment": spec.azure_environment,
        "isProxyEnabled": spec.proxy is not None,
    }
    if spec.proxy:
        settings |= {
            "httpProxy": spec.proxy.http,
            "httpsProxy": spec.proxy.https,
            "noProxy": ",".join(spec.proxy.no),
        }
    if egress.authorities:
        settings |= {"isCustomCert": True, "proxyCert": egress.bundle}
    system: dict[str, Any] = {
        "spnOnboarding": False,
        "clusterconnect-agent": {"enabled": spec.private_link_scope_id is None},
        "azureArcAgents": {"autoUpdate": spec.auto_update},
        "customLocations": {"enabled": spec.custom_locations_oid is not None},
    }
    if spec.custom_locations_oid:
        system["customLocations"]["oid"] = spec.custom_locations_oid
    return {"global": settings, "systemDefaultValues": system}
