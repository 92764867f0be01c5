"""A site's cluster as an imported cluster in Rancher, and the agent that keeps it connected."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_rancher2 as rancher2

from components.base import EdgeComponent
from components.host.component import Host
from components.registration.rancher.plan import ANNOTATIONS, plan
from components.registration.rancher.spec import RancherSpec
from components.shell import secret_lines
from components.view import Site


@dataclass(frozen=True)
class RancherArgs:
    """What a registration is made from."""

    spec: RancherSpec
    site: Site
    server: Host
    """The first server: what has to be done in the cluster is done from there."""
    joined: pulumi.Resource
    """After it, the server is a node of the cluster."""
    token_key: pulumi.Input[str]
    """API token of Rancher. Secret, however it is handed over."""


class RancherRegistration(EdgeComponent):
    """``edge:index:RancherRegistration``: entry in Rancher, then the agent, then the wait until it is connected.

    A rebuilt cluster cannot register under the id of the one before it. So the entry hangs on the cluster's own
    identity: it is replaced when the cluster was founded anew, and outlives every single server. While the first server
    is being replaced, a preview cannot know that identity and shows a replacement that `up` then does not make.

    On destroy, the agent goes before the entry. The other way round, Rancher would start a clean-up of its own in the
    cluster, beside this one and beside the end of K3s.

    Attributes: ``cluster_id`` (id in Rancher).
    """

    def __init__(self, name: str, args: RancherArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        spec, server = args.spec, args.server
        registration = plan(spec, args.site)
        super().__init__("RancherRegistration", name, {}, opts)
        rancher = rancher2.Provider(
            f"{name}-api",
            api_url=spec.api_url,
            token_key=pulumi.Output.secret(args.token_key),
            ca_certs=spec.ca_certs,
            # Said, since the SDK would take both from the environment.
            insecure=False,
            bootstrap=False,
            opts=self.under(),
        )
        uid = server.command(
            self, "uid", registration.cluster_uid, name=f"{name}-cluster-uid", depends_on=[args.joined]
        )
        cluster = rancher2.Cluster(
            f"{name}-cluster",
            name=registration.cluster_name,
            labels=dict(registration.labels),
            fleet_workspace_name=spec.fleet_workspace,
            annotations=ANNOTATIONS,
            agent_env_vars=[{"name": name, "value": value} for name, value in registration.agent_environment.items()]
            or None,
            opts=self.under(
                uid,
                provider=rancher,
                replacement_trigger=uid.stdout,
                # Rancher takes no two clusters of one name.
                delete_before_replace=True,
                # The manifest's URL and the commands around it hold the registration's token.
                additional_secret_outputs=["clusterRegistrationToken"],
                protect=spec.protect,
            ),
        )
        manifest_url = pulumi.Output.secret(cluster.cluster_registration_token.manifest_url)
        agent = server.command(
            self,
            "register",
            registration.register,
            name=f"{name}-agent",
            delete=registration.leave,
            stdin=pulumi.Output.all(manifest_url, cluster.id).apply(secret_lines),
        )
        server.command(
            self,
            "connected",
            registration.connected,
            name=f"{name}-connected",
            stdin=pulumi.Output.all(cluster.id).apply(secret_lines),
            depends_on=[agent],
        )
        self.cluster_id = cluster.id
        self.register_outputs({"cluster_id": cluster.id})
