"""A site's cluster as a resource in Azure, and the agents that keep it connected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field

import pulumi
import pulumi_azure_native as azure
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls

from components.base import EdgeComponent
from components.egress import Egress
from components.objects import create
from components.part import HeldEgress
from components.registration.arc.plan import (
    GET_CLUSTER,
    KEY_BITS,
    RESOURCE_TYPE,
    ArcPlan,
    Connectivity,
    administrators,
    connectivity,
    not_connected,
    plan,
    with_private_key,
    with_proxy,
)
from components.registration.arc.public_key import agent_public_key
from components.registration.arc.spec import ArcSpec
from components.restricted import default_account

_CLUSTER_TIMEOUT = "20m"
_ASK_AGAIN_S = 15.0
_clock = time.monotonic
_RELEASE_MARGIN_MINUTES = 10
"""Helm's own time limit must come first: then the release's state is recorded, and the next `up` continues from it."""


@dataclass(frozen=True)
class ArcArgs:
    """What a registration is made from."""

    spec: ArcSpec
    site: str
    egress: Egress = field(default_factory=Egress)
    """How the site goes out."""
    held: HeldEgress | None = None
    """The same, with what is secret of it."""


class ArcRegistration(EdgeComponent):
    """``edge:index:ArcRegistration``: key, connected cluster, agents, in this order.

    The site's cluster is the Kubernetes provider of ``opts``. Credentials for Azure are those of the operator or the
    pipeline (``az login``, ``ARM_*``); subscription and tenant are the site's.
    Attributes: ``cluster_id`` (Azure resource id), ``connected`` (what Azure says of the connection).
    """

    def __init__(self, name: str, args: ArcArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        spec = args.spec
        registration = plan(args.site, spec, args.egress)
        super().__init__("ArcRegistration", name, {}, opts)
        subscription = azure.Provider(
            f"{name}-azure", subscription_id=spec.subscription_id, tenant_id=spec.tenant_id, opts=self.under()
        )
        # Another key would replace the registration, so nothing but an explicit replacement makes one.
        key = tls.PrivateKey(
            f"{name}-key",
            algorithm="RSA",
            rsa_bits=KEY_BITS,
            opts=self.under(protect=spec.protect, ignore_changes=["algorithm", "rsaBits", "ecdsaCurve"]),
        )
        cluster = _connected_cluster(self, f"{name}-cluster", spec, registration, key, subscription)
        release = registration.release
        # Onboarding fails now and then (about one time in five), mostly on slow links. Not atomic, no cleanup: pods and
        # pulled images stay, agents go on trying by themselves, and the next `up` upgrades the release that is there.
        agents = kubernetes.helm.v3.Release(
            f"{name}-agents",
            name=release.name,
            chart=release.chart,
            version=release.version,
            namespace=release.namespace,
            create_namespace=True,
            values=with_private_key(
                with_proxy(release.values, args.held.variables)
                if args.held and args.egress.proxy and not spec.proxy
                else release.values,
                key.private_key_pem,
            ),
            atomic=False,
            cleanup_on_fail=False,
            timeout=release.timeout_s,
            opts=self.in_cluster(cluster, custom_timeouts=_release_timeouts(spec)),
        )
        create(self, f"{name}-agents-default-account", default_account(release.namespace), depends_on=[agents])
        for role, manifest in administrators(spec).items():
            create(self, f"{name}-{role}", manifest, depends_on=[agents])
        self.connected: pulumi.Output[str] = pulumi.Output.all(cluster.id, agents.status).apply(
            lambda _: _connected(self, registration, spec, subscription)
        )
        self.cluster_id = cluster.id
        self.register_outputs({"cluster_id": cluster.id})


def _connected_cluster(
    component: EdgeComponent,
    name: str,
    spec: ArcSpec,
    registration: ArcPlan,
    key: tls.PrivateKey,
    subscription: azure.Provider,
) -> pulumi.CustomResource:
    """The connected cluster, at a stable API version.

    The SDK has a class for its default version only, a preview. The plugin knows every version by its type token: the
    token is named here, and the SDK's types shape the inputs.
    """
    inputs = azure.kubernetes.ConnectedClusterArgs(
        resource_group_name=spec.resource_group,
        cluster_name=registration.cluster_name,
        location=spec.location,
        identity=azure.kubernetes.ConnectedClusterIdentityArgs(
            type=azure.kubernetes.ResourceIdentityType.SYSTEM_ASSIGNED
        ),
        agent_public_key_certificate=key.public_key_pem.apply(agent_public_key),
        distribution="k3s",
        infrastructure="generic",
        private_link_state="Enabled" if registration.private_link else "Disabled",
        private_link_scope_resource_id=spec.private_link_scope_id,
        aad_profile=azure.kubernetes.AadProfileArgs(
            admin_group_object_ids=list(spec.admin_groups),
            enable_azure_rbac=False,
            tenant_id=spec.tenant_id,
        )
        if spec.admin_groups
        else None,
        arc_agent_profile=azure.kubernetes.ArcAgentProfileArgs(
            agent_auto_upgrade="Enabled" if spec.auto_update else "Disabled"
        ),
        tags=dict(registration.tags),
    )
    options = component.under(
        provider=subscription,
        protect=spec.protect,
        custom_timeouts=pulumi.CustomTimeouts(
            create=_CLUSTER_TIMEOUT, update=_CLUSTER_TIMEOUT, delete=_CLUSTER_TIMEOUT
        ),
    )
    return pulumi.CustomResource(RESOURCE_TYPE, name, inputs, options)


def _connected(
    component: EdgeComponent, registration: ArcPlan, spec: ArcSpec, subscription: azure.Provider
) -> Awaitable[str]:
    return _wait_connected(component, registration, spec, subscription)


async def _wait_connected(
    component: EdgeComponent, registration: ArcPlan, spec: ArcSpec, subscription: azure.Provider
) -> str:
    """Ask Azure until it says that the cluster is connected. Raises RunError with its words where it never is.

    By the provider's own credentials, in the program: it takes no tool, and leaves nothing in the state.
    """
    if pulumi.runtime.is_dry_run():
        return "not asked in a preview"
    where = {"resourceGroupName": spec.resource_group, "clusterName": registration.cluster_name}
    ends = _clock() + spec.connect_minutes * 60
    while True:
        asked = pulumi.runtime.invoke_output(
            GET_CLUSTER, where, pulumi.InvokeOutputOptions(parent=component, provider=subscription)
        )
        answer = await asked.future()
        state, words = connectivity(answer or {})
        if state is Connectivity.CONNECTED:
            return words
        if state is Connectivity.OFFLINE:
            pulumi.log.warn(f"{registration.cluster_name}: {words}", component)
            return words
        if state is Connectivity.LOST or _clock() >= ends:
            raise pulumi.RunError(not_connected(registration.cluster_name, spec, words))
        await asyncio.sleep(_ASK_AGAIN_S)


def _release_timeouts(spec: ArcSpec) -> pulumi.CustomTimeouts:
    limit = f"{spec.onboarding_minutes + _RELEASE_MARGIN_MINUTES}m"
    return pulumi.CustomTimeouts(create=limit, update=limit, delete=limit)
