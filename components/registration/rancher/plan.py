"""What importing a cluster into Rancher comes to: its entry there, and the scripts that bring the agent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components import urls
from components.egress import Egress
from components.registration.rancher.spec import RancherSpec
from components.shell import here_document, render
from components.view import Site

ANNOTATIONS = {"rancher.io/imported-cluster-version-management": "false"}
"""Rancher otherwise upgrades an imported K3s by its own plans, and undoes those of this program."""

NAMESPACES = ("cattle-system", "cattle-fleet-system", "cattle-impersonation-system")
"""Namespaces that the agent makes and fills. Their pods do not meet the restricted Pod Security Standard: the agent
runs as root and may do everything in the cluster. Rancher's documentation lists them as exemptions."""

MANIFEST_BYTES = 1024 * 1024
"""An import manifest is about 8 KiB."""


@dataclass(frozen=True)
class RancherPlan:
    """One registration."""

    cluster_name: str
    labels: Mapping[str, str]
    agent_environment: Mapping[str, str]
    """The agent's own variables, which Rancher writes into its manifest, where everybody can read them."""
    cluster_uid: str
    """Prints the cluster's identity, which changes when the cluster is founded anew and at no other time."""
    register: str
    """Brings the agent, if it is not there; by standard input: URL of the import manifest, id of the cluster in
    Rancher."""
    connected: str
    """Waits until the agent is connected; by standard input: id of the cluster in Rancher."""
    leave: str
    """Removes the agent and what it made."""


def plan(spec: RancherSpec, site: Site) -> RancherPlan:
    """The registration of ``site``. Its scripts run on the first server."""
    first = site.servers[0]
    # A changed text runs again: on another server, and on one that was asked to apply everything again.
    installation = f"{first.kubernetes_node} {first.spec.reapply or ''}".rstrip()
    return RancherPlan(
        cluster_name=spec.cluster_name or site.name,
        labels={
            "edge.site": site.name,
            "edge.tier": site.tier,
            "edge.region": site.region,
            **site.labels,
            **spec.labels,
        },
        agent_environment=agent_environment(spec, site.egress),
        cluster_uid=render("registration/rancher/cluster_uid.sh.j2", installation=installation),
        register=render(
            "registration/rancher/register.sh.j2",
            installation=installation,
            api_url=spec.api_url,
            ca_certs=here_document(spec.ca_certs) if spec.ca_certs else None,
            manifest_bytes=MANIFEST_BYTES,
            namespaces=NAMESPACES,
        ),
        connected=render(
            "registration/rancher/connected.sh.j2", api_url=spec.api_url, seconds=spec.onboarding_minutes * 60
        ),
        leave=render("registration/rancher/leave.sh.j2", namespaces=NAMESPACES),
    )


def agent_environment(spec: RancherSpec, egress: Egress) -> Mapping[str, str]:
    """How the agent goes out. Nothing where it reaches Rancher, the only one that it asks, without the proxy."""
    if egress.proxy is None or egress.proxy.leaves_out(urls.parse(spec.api_url).host):
        return {}
    # It is a program in Go, and a shell script around curl: both read these spellings, but for http:// by curl.
    return {name: value for name, value in egress.variables().items() if name.isupper()}
