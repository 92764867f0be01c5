"""Registering with Azure Arc: the cluster's resource in Azure, and the Helm release of the agents. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from components.egress import Egress
from components.registration.arc.spec import ArcSpec
from components.view import Precondition

NO_EGRESS = Egress()

API_VERSION = "2024-01-01"
"""Newest stable API whose every field the SDK's types know; the SDK's own default is a preview."""

RESOURCE_TYPE = f"azure-native:kubernetes/v{API_VERSION.replace('-', '')}:ConnectedCluster"
GET_CLUSTER = f"azure-native:kubernetes/v{API_VERSION.replace('-', '')}:getConnectedCluster"
CHART = "oci://mcr.microsoft.com/azurearck8s/batch1/stable/v2/azure-arc-k8sagents"
KEY_BITS = 4096
PROVIDERS = ("Microsoft.Kubernetes", "Microsoft.KubernetesConfiguration", "Microsoft.ExtendedLocation")
ROLE = "Kubernetes Cluster - Azure Arc Onboarding"
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


_ADMINS = "edge-arc-admins"
_SEEN = ("", "apiextensions.k8s.io", "storage.k8s.io")
_SEEN_KINDS = ("nodes", "namespaces", "persistentvolumes", "customresourcedefinitions", "storageclasses")
"""What belongs to no namespace, and whoever administers what is in them has to see."""


class Connectivity(Enum):
    """What Azure's word for the connection means for a run."""

    CONNECTED = "connected"
    COMING = "coming"
    """It has not been connected yet."""
    OFFLINE = "offline"
    """It has been, and is not now: as a site without an uplink. The run has nothing to wait for."""
    LOST = "lost"
    """It will not be connected again by itself."""


_CONNECTIVITY = {
    "Connected": Connectivity.CONNECTED,
    "Offline": Connectivity.OFFLINE,
    "Expired": Connectivity.LOST,
}


def connectivity(answer: Mapping[str, Any]) -> tuple[Connectivity, str]:
    """What Azure says of a cluster (``getConnectedCluster``), and that in words: its status, its agents' errors."""
    status = str(answer.get("connectivityStatus") or "no status")
    errors = [
        f"{one.get('component') or 'an agent'}: {one['message']}"
        for one in (answer.get("arcAgentProfile") or {}).get("agentErrors") or ()
        if one.get("message")
    ]
    seen = answer.get("lastConnectivityTime")
    words = f"Azure says {status}" + (f", last seen at {seen}" if seen else "")
    return _CONNECTIVITY.get(status, Connectivity.COMING), "; ".join((words, *errors))


def not_connected(cluster_name: str, spec: ArcSpec, words: str) -> str:
    """Why a run fails, and what to do."""
    return (
        f"{cluster_name} is not connected to Azure after {spec.connect_minutes} min: {words}. The agents go on trying; "
        "their own words: kubectl -n azure-arc logs deployment/clusterconnect-agent, deployment/config-agent. Do hosts "
        "reach Azure (docs/clouds.md), and are the resource providers registered (`edge doctor`)? Then run `up` again"
    )


def administrators(spec: ArcSpec) -> dict[str, dict[str, Any]]:
    """By role, what gives members of the groups access: on a plain registration the ARM property gives none."""
    if not spec.admin_groups:
        return {}
    api = "rbac.authorization.k8s.io"
    see = f"{_ADMINS}-see"

    def bound(name: str, role: str) -> dict[str, Any]:
        return {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": api, "kind": "Group", "name": group} for group in spec.admin_groups],
        }

    return {
        "admins": bound(_ADMINS, "edit"),
        "admins-see-role": {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": see},
            "rules": [{"apiGroups": list(_SEEN), "resources": list(_SEEN_KINDS), "verbs": ["get", "list", "watch"]}],
        },
        "admins-see": bound(see, see),
    }


def preconditions(spec: ArcSpec) -> Iterator[Precondition]:
    """What Azure must have before a cluster is registered."""
    for provider in PROVIDERS:
        yield Precondition(
            name=f"Azure provider {provider}",
            why="Arc registers clusters by it",
            command=(
                *("az", "provider", "show", "--namespace", provider, "--subscription", spec.subscription_id),
                *("--query", "registrationState", "--output", "tsv"),
            ),
            wanted="Registered",
            remedy=f"az provider register --namespace {provider} --subscription {spec.subscription_id}",
        )
    yield Precondition(
        name=f"role at {spec.resource_group}",
        why=f"whoever runs `up` needs `{ROLE}` (or Contributor) there",
        remedy=(
            f"az role assignment create --role '{ROLE}' --assignee WHO "
            f"--scope /subscriptions/{spec.subscription_id}/resourceGroups/{spec.resource_group}"
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
