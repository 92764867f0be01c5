"""A site of lab hosts on which the component's own rendered scripts install K3s, over the lab's mirror."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import pytest

from components.host import plan as host_plan
from components.host.machine import Machine
from components.k3s.plan import CA_UNKNOWN, ClusterPlan, NodePlan, ca_of, plan_cluster, plan_node
from components.k3s.spec import K3sSpec
from components.shell import secret_lines
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.hosts.system import wait_until
from lab.kubernetes import build
from lab.kubernetes.mirror import Mirror, Release, release_files
from tests.components.site_parts import machine

TOKEN, AGENT_TOKEN = "servers-only", "agents-too"
READY = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'


@dataclass
class Site:
    """Hosts of the lab in their roles, and what the component plans for them."""

    lab: Lab
    authority: Authority
    mirror: Mirror
    release: Release
    roles: Mapping[str, str]
    installed: list[str] = field(default_factory=list)
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of `k3s`, beside those that every site of the lab has."""

    @cached_property
    def spec(self) -> K3sSpec:
        several = {"api_address": self.lab["a"].address} if self.roles.get("b") == "server" else {}
        # A balancer in front of the servers is on this machine's side.
        names = {"tls_sans": (str(self.lab.layout.gateway),)}
        return K3sSpec.model_validate({**self.mirror.site_block(self.release), **several, **names, **self.settings})

    @cached_property
    def nodes(self) -> dict[str, Machine]:
        return {
            name: machine(
                name,
                self.lab[name].address,
                site="lab",
                distribution="debian",
                host_key=self.lab[name].host_key,
                role="server" if role == "server" else "agent",
            )
            for name, role in self.roles.items()
        }

    @property
    def servers(self) -> list[Machine]:
        return [node for node in self.nodes.values() if node.is_server]

    @property
    def cluster(self) -> ClusterPlan:
        return plan_cluster(self.spec, self.servers)

    def plan(self, name: str, **labels: str) -> NodePlan:
        return plan_node(self.spec, self.nodes[name], self.servers, labels={"site": "lab", **labels})

    def host(self, name: str) -> LabHost:
        return self.lab[name]

    def install(self, name: str, *, token: str = TOKEN, agent_token: str = AGENT_TOKEN, **labels: str) -> str:
        """Runs the rendered install.sh; what it said."""
        self._prepare(name)
        if name not in self.installed:
            self.installed.append(name)
        secrets = [token, agent_token] if self.roles[name] == "server" else [agent_token]
        return self.script(name, self.plan(name, **labels).install, stdin=secret_lines([*secrets, self.ca_for(name)]))

    def ca_for(self, name: str) -> str:
        """The hash of the cluster's CA, as another server tells it to a host that joins."""
        others = [other for other in self.installed if other != name and self.roles[other] == "server"]
        return ca_of(self.script(others[0], self.plan(name).same_installation)) if others else CA_UNKNOWN

    def script(self, name: str, text: str, *, stdin: str = "") -> str:
        done = self.host(name).run(text, stdin=stdin, timeout_s=700)
        return done.stdout

    def _prepare(self, name: str) -> None:
        """What the host component does before K3s comes: the kernel settings that kubelets ask for."""
        self.host(name).run(self.authority.trust_script())
        settings = host_plan.sysctl_file(host_plan.KUBELET_SYSCTLS)
        # In a file, because a host that is switched on again has to have them too.
        keep = "cat >/etc/sysctl.d/90-kubelet.conf && sysctl --quiet --load=/etc/sysctl.d/90-kubelet.conf"
        self.host(name).run(keep, stdin=settings)

    def kubectl(self, *arguments: str, on: str = "a", stdin: str = "", check: bool = True) -> str:
        words = " ".join(f"'{argument}'" for argument in arguments)
        return self.host(on).run(f"k3s kubectl {words}", stdin=stdin, check=check).stdout

    def get(self, *arguments: str, on: str = "a") -> dict[str, object]:
        found: dict[str, object] = json.loads(self.kubectl("get", *arguments, "--output", "json", on=on))
        return found

    def uninstall(self) -> None:
        for name in reversed(self.installed):
            self.script(name, self.plan(name).uninstall)


def wait_for(what: str, holds: Callable[[], bool], *, seconds: float = 120) -> None:
    """As ``wait_until``, with the patience that Kubernetes needs, and questions that cost a program's start each."""
    wait_until(holds, what, deadline_s=seconds, poll_s=0.5)


@contextmanager
def release_on_mirror(lab: Lab) -> Iterator[tuple[Authority, Mirror, Release]]:
    """The lab's release, and the mirror on this machine's side of the lab's network that serves it."""
    try:
        release = build.build()
    except EngineError as error:
        pytest.skip(str(error))
    files = {release.version: release_files(release.binary, release.images)}
    with Authority() as authority, Mirror(authority, lab.layout.gateway, files) as mirror:
        yield authority, mirror, release


@contextmanager
def uninstalled_at_the_end(site: Site) -> Iterator[Site]:
    """``site``, off its hosts again when the block ends."""
    try:
        yield site
    finally:
        site.uninstall()
