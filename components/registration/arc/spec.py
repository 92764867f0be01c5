"""What a human writes to register a site with Azure Arc."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from components.specs import Spec
from components.types import DnsLabel, NonEmpty, SemVer
from components.urls import UrlOf
from sitefile.problems import Finding, Unfit

Uuid = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"),
    Field(examples=["00000000-0000-4000-8000-000000000001"]),
]
"""An Azure id in lower case: subscription, tenant, group or object."""

ArmId = Annotated[
    str,
    StringConstraints(pattern=r"^/subscriptions/[^/\s]+/resourceGroups/[^/\s]+/providers/\S+$"),
    Field(
        examples=["/subscriptions/ID/resourceGroups/edge-eu/providers/Microsoft.HybridCompute/privateLinkScopes/edge"]
    ),
]
"""The full id of an Azure resource."""

ProxyUrl = Annotated[str, UrlOf(("http", "https")), Field(examples=["http://proxy.example.com:3128"])]
"""Address of a proxy. Without credentials: those would be a secret in a file."""


def _no_rbac(value: bool) -> bool:
    if value:
        raise Unfit(
            "Azure RBAC needs webhooks of Arc's guard on the API server, which K3s has none of, so it decides nothing",
            "false: members of `admin_groups` reach the cluster by cluster connect",
            "remove it, and bind other groups with RBAC objects of the repository",
        )
    return value


class ArcProxy(Spec):
    """The way out to Azure, where the site has no direct one."""

    http: ProxyUrl
    """Proxy for http:// addresses."""

    https: ProxyUrl
    """Proxy for https:// addresses."""

    no: tuple[NonEmpty, ...] = ("10.0.0.0/8", "kubernetes.default.svc", ".svc.cluster.local", ".svc")
    """Hosts, domains and networks that are reached without the proxy; the cluster's own must be among them."""


class ArcSpec(Spec):
    """Azure Arc: the site's cluster as a resource in Azure. Its agents need about 850 MiB of RAM."""

    kind: Literal["arc"]
    """Selects Azure Arc."""

    subscription_id: Uuid
    """Azure subscription that holds the registration."""

    tenant_id: Uuid
    """Microsoft Entra tenant of the subscription."""

    resource_group: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_.()-]{0,89}[A-Za-z0-9_()-]$"), Field(examples=["edge-eu"])
    ]
    """Existing resource group."""

    location: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]+$")]
    """Azure region that holds the registration's metadata, such as `westeurope`."""

    cluster_name: (
        Annotated[
            str,
            StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,61}[A-Za-z0-9]$"),
            Field(examples=["berlin-01"]),
        ]
        | None
    ) = None
    """Name of the cluster in Azure; the site id when absent. Another name is another registration."""

    chart_version: SemVer
    """Version of the agents' Helm chart."""

    auto_update: bool = False
    """Whether Azure may update the agents by itself. False: the chart version above is what runs."""

    admin_groups: tuple[Uuid, ...] = ()
    """Entra groups whose members administer, by Azure's cluster connect, what runs in the cluster: `edit` in all
    namespaces, and see what belongs to none. Roles and the cluster itself are left to `edge kubeconfig`."""

    azure_rbac: Annotated[bool, AfterValidator(_no_rbac)] = False
    """Whether Azure role assignments decide what Entra users may do inside the cluster. Always refused: K3s has none of
    the webhooks that this takes."""

    extension_namespaces: dict[DnsLabel, NonEmpty] = {}
    """Namespaces that extensions of Arc make for themselves, whose pods do not meet the restricted Pod Security
    Standard, each with the reason. Everything in such a namespace may do what the extension may."""

    connect_minutes: Annotated[int, Field(ge=1, le=120)] = 15
    """How long `up` waits until Azure says that the cluster is connected, in minutes."""

    private_link_scope_id: ArmId | None = None
    """Private link scope that all traffic to Azure goes through. Azure then offers neither cluster connect nor custom
    locations for the cluster."""

    custom_locations_oid: Uuid | None = None
    """Object id of Azure's custom-locations application in the tenant; given, custom locations are enabled."""

    proxy: ArcProxy | None = None
    """Proxy of the agents, where it is another one than `network.proxy`."""

    azure_environment: Literal["AZUREPUBLICCLOUD", "AZUREUSGOVERNMENT", "AZURECHINACLOUD"] = "AZUREPUBLICCLOUD"
    """Azure cloud."""

    tags: dict[NonEmpty, str] = {}
    """Azure tags, beside `edge-site`, which is always set."""

    onboarding_minutes: Annotated[int, Field(ge=5, le=120)] = 30
    """Time limit of one attempt at bringing the agents up, in minutes; what has started stays for the next attempt."""

    protect: bool = False
    """Whether key and registration refuse to be deleted until this is false again (`destroy` then fails on them)."""

    def conflicts(self) -> Iterator[Finding]:
        if self.private_link_scope_id and self.custom_locations_oid:
            yield Finding(
                ("custom_locations_oid",),
                "custom locations need cluster connect, which Azure does not offer behind a private link scope",
                "custom locations or a private link scope",
                "remove `custom_locations_oid` or `private_link_scope_id`",
            )
        if self.private_link_scope_id and self.admin_groups:
            yield Finding(
                ("admin_groups",),
                "groups reach the cluster by cluster connect, which Azure does not offer behind a private link scope",
                "groups or a private link scope",
                "remove `admin_groups` or `private_link_scope_id`",
            )
