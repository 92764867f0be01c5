"""K3s on the hosts of a site: founded once, joined by the others, with a kubeconfig that outlives any one server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as kubernetes

from components.base import EdgeComponent
from components.host.component import Host
from components.k3s.plan import Node, NodePlan, plan_cluster, plan_node
from components.k3s.spec import K3sSpec
from components.shell import render, secret_lines


class K3s(EdgeComponent):
    """``edge:index:K3s``. ``hosts`` hold at least one server; the first server founds the cluster.

    Order on a new site: the first server, the further servers one after the other, then the agents side by side.
    A host's commands carry its name and depend only on servers, so that an agent comes and goes alone.

    Attributes: ``provider`` (for what runs in the cluster), ``kubeconfig`` (secret), ``ready`` (the cluster answers),
    ``api_url``, ``joined`` (by host name, what is done once the host is a node).
    """

    def __init__(
        self,
        name: str,
        spec: K3sSpec,
        *,
        site: str,
        hosts: Sequence[Host],
        token: pulumi.Input[str],
        agent_token: pulumi.Input[str],
        datastore_endpoint: pulumi.Input[str] | None = None,
        labels: Mapping[str, str],
        psa_exempt: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        nodes = {host.node: Node(host.node, host.spec, host.os, host.arch) for host in hosts}
        servers = [host for host in hosts if host.spec.role == "server"]
        server_nodes = [nodes[server.node] for server in servers]
        cluster = plan_cluster(spec, server_nodes)
        super().__init__(
            "K3s",
            name,
            {
                "version": spec.version,
                "sha256": dict(spec.releases[spec.version]),
                "mirror": spec.mirror,
                "datastore": cluster.datastore,
                "servers": len(servers),
                "api_address": cluster.api_address,
                "flannel_backend": spec.flannel_backend,
                "secrets_encryption": True,
                "pod_cidr": spec.pod_cidr,
                "service_cidr": spec.service_cidr,
            },
            opts,
        )
        self._servers = servers
        server_secrets = [token, agent_token, *([] if datastore_endpoint is None else [datastore_endpoint])]
        server_stdin = pulumi.Output.all(*server_secrets).apply(secret_lines)
        agent_stdin = pulumi.Output.all(agent_token).apply(secret_lines)

        def planned(host: Host) -> NodePlan:
            return plan_node(spec, nodes[host.node], server_nodes, labels=labels, psa_exempt=psa_exempt)

        first = servers[0]
        before: list[pulumi.Resource] = []
        if cluster.datastore != "external":
            # Named after the site: when another host becomes the first server, it is told that the cluster exists.
            birth_again = render("k3s/birth_again.sh.j2")
            before = [first.command(self, "birth", cluster.birth, name=f"{name}-birth", update=birth_again)]
        self.joined: dict[str, pulumi.Resource] = {}
        for number, server in enumerate(servers):
            before = [self._install(server, planned(server), server_stdin, before)]
            self.joined[server.spec.name] = before[0]
            if number == 1:
                # The first server's peer joins through it, and so can confirm it only afterwards. Before all others, so
                # that a site that goes takes leave of them first, while the first server still keeps the cluster.
                before = [self._confirm(first, planned(first), before)]
                self.joined[first.spec.name] = before[0]
            if number > 0:
                before = [self._confirm(server, planned(server), before)]
                self.joined[server.spec.name] = before[0]
        for agent in hosts:
            if agent.spec.role == "agent":
                scripts = planned(agent)
                self.joined[agent.spec.name] = self._confirm(
                    agent, scripts, [self._install(agent, scripts, agent_stdin, before)]
                )

        self.ready: pulumi.Resource = first.command(
            self, "ready", cluster.ready, name=f"{name}-ready", depends_on=before
        )
        fetched = first.command(self, "kubeconfig", cluster.kubeconfig, name=f"{name}-kubeconfig", secret_stdout=True)
        self.kubeconfig: pulumi.Output[str] = pulumi.Output.secret(fetched.stdout)
        self.api_url = f"https://{cluster.api_address}:6443"
        # The identifier, not the kubeconfig, says which cluster this is: a new kubeconfig replaces nothing in it.
        self.provider = kubernetes.Provider(
            f"{name}-cluster",
            kubeconfig=self.kubeconfig,
            cluster_identifier=site,
            skip_update_unreachable=True,
            opts=self.under(self.ready),
        )
        self.register_outputs({"api_url": self.api_url, "datastore": cluster.datastore})

    def _peer(self, host: Host) -> Host | None:
        """The server on which the cluster is told about ``host``. An only server has none: it goes with its cluster."""
        return next((server for server in self._servers if server is not host), None)

    def _install(
        self, host: Host, scripts: NodePlan, stdin: pulumi.Input[str], before: Sequence[pulumi.Resource]
    ) -> pulumi.Resource:
        """Install K3s on ``host``, once the cluster has forgotten an earlier installation of that name."""
        if peer := self._peer(host):
            admitted = peer.command(self, "k3s-admit", scripts.admit, about=host, triggers=[host.identity])
            before = [*before, admitted]
        return host.command(
            self,
            "k3s",
            scripts.install,
            delete=scripts.uninstall,
            expected=scripts.expected,
            stdin=stdin,
            depends_on=before,
        )

    def _confirm(self, host: Host, scripts: NodePlan, installed: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Wait on another server until ``host`` is Ready; when the host goes, drain and forget it there."""
        peer = self._peer(host)
        assert peer is not None, "an only server has nobody to confirm it"
        # A changed text runs again in place: a host that was installed anew is waited for as on its first day.
        script = f"# installation {host.identity}\n{scripts.member}"
        return peer.command(self, "k3s-member", script, about=host, depends_on=installed, delete=scripts.remove)
