"""K3s on the hosts of a site: one server starts the cluster, the others join it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_command import remote

from components.base import EdgeComponent
from components.egress import Egress
from components.host.component import Host
from components.k3s.credential import refusal, warning
from components.k3s.plan import (
    CA_UNKNOWN,
    NodePlan,
    ca_of,
    configurations,
    images_sha256,
    kubernetes_of,
    plan_cluster,
    plan_node,
    secret_registries,
)
from components.k3s.spec import K3sSpec
from components.part import HeldKubeconfig
from components.shell import comment, secret_lines


@dataclass(frozen=True)
class K3sArgs:
    """What a site's cluster is made from."""

    spec: K3sSpec
    site: str
    """Site id: the cluster's identity, whatever its kubeconfig."""
    hosts: Sequence[Host]
    """At least one of them is a server; the first server starts the cluster."""
    token: pulumi.Input[str]
    """Servers join with it. This and the next two become secrets if they are not yet."""
    agent_token: pulumi.Input[str]
    """Agents join with it."""
    labels: Mapping[str, str]
    """Labels of all nodes."""
    consents: Mapping[str, str] = field(default_factory=dict)
    """By node, the changes of it that somebody has consented to; see ``components.consequence.consents_of``."""
    datastore_endpoint: pulumi.Input[str] | None = None
    """Connection string of an external datastore."""
    psa_exempt: Sequence[str] = ()
    """Namespaces, in addition to kube-system, that cannot be restricted."""
    egress: Egress = field(default_factory=Egress)
    """How the site goes out."""
    registry_logins: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """By name, the logins of registries. They become secrets if they are not yet."""
    snapshot_keys: pulumi.Input[str] | None = None
    """Keys of the storage for snapshots, where there is one. They become a secret if they are not yet."""
    environment: pulumi.Input[str] | None = None
    """The environment that K3s goes out with, where there is one: a secret. K3s starts anew when it changes."""


# Names of resources are frozen since the first release: another name would be another resource to Pulumi.
_PERMIT, _FORGET_OLD_NODE, _WAIT_READY = "birth", "k3s-admit", "k3s-member"


class K3s(EdgeComponent):
    """``edge:index:K3s``.

    Order on a new site: the first server, the further servers one after the other, then the agents side by side.
    A host's commands carry its name and depend only on servers, so that an agent can be added or removed alone.

    Attributes: ``provider`` (for what runs in the cluster), ``kubeconfig`` (secret; fails where it is not valid any
    more), ``held`` (the same, unchecked), ``ready`` (the cluster answers), ``api_url``, ``joined`` (by host name, what
    is done once the host is a node).
    """

    def __init__(self, name: str, args: K3sArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        spec, hosts = args.spec, args.hosts
        servers = [host for host in hosts if host.machine.is_server]
        server_machines = [server.machine for server in servers]
        cluster = plan_cluster(spec, server_machines)
        super().__init__(
            "K3s",
            name,
            {
                "sha256": dict(spec.releases[spec.version]),
                **({"images_sha256": images} if (images := images_sha256(spec)) else {}),
                "flannel_backend": spec.flannel_backend,
                "kubernetes": kubernetes_of(spec, server_machines),
                "configurations": configurations(spec, [host.machine for host in hosts], args.psa_exempt, args.egress),
            },
            opts,
        )
        self._added = [] if args.environment is None else [pulumi.Output.secret(args.environment)]
        if args.registry_logins:
            given = {name: pulumi.Output.secret(login) for name, login in args.registry_logins.items()}
            self._added.append(pulumi.Output.all(**given).apply(lambda logins: secret_registries(spec, logins)))
        self._of_servers = [] if args.snapshot_keys is None else [pulumi.Output.secret(args.snapshot_keys)]
        self._servers, self._consents = servers, args.consents
        tokens = [pulumi.Output.secret(token) for token in (args.token, args.agent_token)]
        endpoint = [] if args.datastore_endpoint is None else [pulumi.Output.secret(args.datastore_endpoint)]
        server_secrets, agent_secrets = [*tokens, *endpoint], tokens[1:]

        plans = {
            host.node: plan_node(
                spec, host.machine, server_machines, labels=args.labels, psa_exempt=args.psa_exempt, egress=args.egress
            )
            for host in hosts
        }
        first = servers[0]
        before: list[pulumi.Resource] = []
        self._permit: remote.Command | None = None
        if cluster.datastore != "external":
            # Named after the site: when another host becomes the first server, the cluster exists already.
            self._permit = first.command(
                self,
                _PERMIT,
                cluster.cluster_init_permit,
                name=f"{name}-{_PERMIT}",
                update=cluster.cluster_init_used,
            )
            before = [self._permit]
        self.joined: dict[str, pulumi.Resource] = {}
        # Each wait depends on its host's own installation, and not only by way of others: on removal, a host is drained
        # and forgotten before it is uninstalled, whatever other servers stay or go in the same run.
        installs: dict[str, pulumi.Resource] = {}
        for number, server in enumerate(servers):
            installs[server.node] = self._install(server, plans[server.node], server_secrets, before)
            before = [installs[server.node]]
            self.joined[server.spec.name] = before[0]
            if len(servers) == 1:
                self._wait_ready(server, plans[server.node], before)
            if number == 1:
                # The first server's peer joins through it, so it can wait for the first server only afterwards. This
                # wait comes before all others: on destroy, other nodes are drained before the first server.
                before = [self._wait_ready(first, plans[first.node], [*before, installs[first.node]])]
                self.joined[first.spec.name] = before[0]
            if number > 0:
                before = [self._wait_ready(server, plans[server.node], [*before, installs[server.node]])]
                self.joined[server.spec.name] = before[0]
        for agent in hosts:
            if not agent.machine.is_server:
                scripts = plans[agent.node]
                installed = self._install(agent, scripts, agent_secrets, before)
                self.joined[agent.spec.name] = self._wait_ready(agent, scripts, [installed])

        self.ready: pulumi.Resource = first.command(
            self, "ready", cluster.ready, name=f"{name}-ready", depends_on=before
        )
        fetched = first.command(self, "kubeconfig", cluster.kubeconfig, name=f"{name}-kubeconfig", secret_stdout=True)
        self.held = HeldKubeconfig(pulumi.Output.secret(fetched.stdout), fetched.urn)
        self.kubeconfig: pulumi.Output[str] = pulumi.Output.all(self.held.text, fetched.urn).apply(
            lambda values: _usable(*values, site=args.site)
        )
        self.api_url = cluster.api_url
        # The identifier, not the kubeconfig, says which cluster this is: a new kubeconfig replaces nothing in it.
        self.provider = kubernetes.Provider(
            f"{name}-cluster",
            kubeconfig=self.kubeconfig,
            cluster_identifier=args.site,
            skip_update_unreachable=True,
            opts=self.under(self.ready),
        )
        self.register_outputs({"api_url": self.api_url, "datastore": cluster.datastore})

    def _peer(self, host: Host) -> Host | None:
        """The server that runs the commands about ``host``. A single server has no peer: it goes with its cluster."""
        return next((server for server in self._servers if server is not host), None)

    def _install(
        self, host: Host, scripts: NodePlan, secrets: Sequence[pulumi.Output[str]], before: Sequence[pulumi.Resource]
    ) -> pulumi.Resource:
        """Install K3s on ``host``, once the cluster has forgotten an earlier installation of that name."""
        ca: pulumi.Input[str] = CA_UNKNOWN
        if peer := self._peer(host):
            first = host is self._servers[0]
            reapply = comment(f"reapply: {host.spec.reapply}") if host.spec.reapply else ""
            forgotten = peer.command(
                self,
                _FORGET_OLD_NODE,
                scripts.forget_old_node,
                about=host,
                # Only a new installation, which is a new resource to Pulumi, has an old one to forget.
                update=reapply + scripts.same_installation,
                triggers=[host.identity],
                stdin=pulumi.Output.all(self._permit.stdout).apply(_said) if first and self._permit else None,
                depends_on=before,
            )
            before = [*before, forgotten]
            ca = forgotten.stdout.apply(ca_of)
        of_servers = self._of_servers if host.machine.is_server else []
        return host.command(
            self,
            "k3s",
            scripts.install,
            delete=scripts.uninstall,
            expected=scripts.expected,
            stdin=self._with_consent(
                host, pulumi.Output.all(*secrets, ca, *self._added, *of_servers).apply(secret_lines)
            ),
            depends_on=before,
        )

    def _with_consent(self, host: Host, stdin: pulumi.Input[str]) -> pulumi.Input[str]:
        """Standard input with one more line where there is consent, which no trigger and no other host may notice."""
        if not (consent := self._consents.get(host.node)):
            return stdin
        return pulumi.Output.all(stdin).apply(lambda secrets: f"{secrets[0]}{secret_lines([consent])}")

    def _wait_ready(self, host: Host, scripts: NodePlan, installed: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Wait on another server until ``host`` is Ready; when the host is removed, drain and forget it there.

        An only server waits for itself: what is left of several keeps this resource, whose removal would remove it from
        the cluster.
        """
        peer = self._peer(host)
        # The script changes with the installation, so it runs again in place for a reimaged host.
        script = comment(f"installation {host.identity}") + scripts.wait_ready
        if peer is None:
            return host.command(self, _WAIT_READY, script, depends_on=installed)
        return peer.command(self, _WAIT_READY, script, about=host, depends_on=installed, delete=scripts.remove)


def _usable(kubeconfig: str, urn: str, *, site: str) -> str:
    """``kubeconfig``, if its client certificate is valid.

    The official plugin takes a certificate that is not for an unreachable cluster, and skips every change with a
    warning.
    """
    now = datetime.now(UTC)
    if refused := refusal(kubeconfig, site, urn, now):
        raise pulumi.RunError(refused)
    if soon := warning(kubeconfig, site, urn, now):
        pulumi.log.warn(soon)
    return kubeconfig


def _said(printed: Sequence[str | None]) -> str:
    """What a command printed, as a line of standard input for another one."""
    return secret_lines([printed[0] or "nothing"])
