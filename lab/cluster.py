"""The whole program on a site with Kubernetes: its hosts, the mirror they download from, what they held before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.authority import Authority
from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.kubernetes.build import build
from lab.kubernetes.mirror import Mirror, release_files
from lab.site import Site, lab_site

SERVER_TOKEN, AGENT_TOKEN = "lab-server-token-0123456789abcdef", "lab-agent-token-0123456789abcdef"

_NOT_COMPARED = ("/var/lib/systemd", "/var/lib/dpkg", "/var/lib/containerd", "/etc/ssl", "*/ca-certificates*")
_WHAT_A_HOST_HOLDS = f"""
find /etc /usr/local /opt /var/lib -xdev {" ".join(f"! -path '{path}/*'" for path in _NOT_COMPARED)} -type f | sort
systemctl list-unit-files --no-legend --state=enabled | awk '{{print $1}}' | sort
ip -brief link | awk '{{print $1}}' | cut -d@ -f1 | sort
"""


@dataclass
class Cluster:
    """A site with Kubernetes."""

    site: Site
    k3s: dict[str, Any]
    authority: Authority
    before: dict[str, str]
    """What hosts held before the site came, by name."""

    def write(self, *servers: str, agents: tuple[str, ...] = (), **blocks: Any) -> None:
        """The site file: these hosts, with Kubernetes and what ``blocks`` add."""
        self.site.write(*servers, agents=agents, k3s=self.k3s, **blocks)

    def host(self, name: str) -> LabHost:
        return self.site.lab[name]

    def kubectl(self, *arguments: str, on: str = "a") -> str:
        return self.host(on).run(f"k3s kubectl {' '.join(arguments)}").stdout

    def nodes(self, *, on: str = "a") -> dict[str, bool]:
        """Every node that the API knows, and whether it is Ready."""
        return {
            item["metadata"]["name"]: any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in item["status"]["conditions"]
            )
            for item in json.loads(self.kubectl("get", "nodes", "--output", "json", on=on))["items"]
        }

    def answers(self, name: str) -> bool:
        """Whether the API on this server says that it is ready."""
        return self.host(name).run("k3s kubectl get --raw /readyz", check=False).stdout == "ok"

    def left(self, name: str) -> set[str]:
        """What is on the host that was not there before the site; files that another site had left may be gone."""
        return set(self.held(self.host(name)).splitlines()) - set(self.before[name].splitlines())

    @staticmethod
    def held(host: LabHost) -> str:
        """Files, enabled units and links of a host."""
        return host.run(_WHAT_A_HOST_HOLDS).stdout

    def reimage(self, name: str) -> None:
        """Reinstalls the host: empty disk, new host key. Waits for SSH, and makes it trust the lab again."""
        host = self.host(name)
        host.reimage()
        host.wait_ssh(60)
        host.wait_booted(60)
        self.site.lab.pin()
        host.run(self.authority.trust_script())


@contextmanager
def cluster_site(
    lab: Lab, home: Path, hosts: Sequence[str] = ("a", "b", "c"), *, coming: Sequence[str] = (), **k3s: Any
) -> Iterator[Cluster]:
    """A new site of ``hosts`` with nothing on them yet; ``k3s`` changes its block. Destroyed at the end.

    ``coming`` are releases that it may be upgraded to.
    """
    release = build()
    releases = [release, *(build(version) for version in coming)]
    files = {one.version: release_files(one.binary, one.images) for one in releases}
    with (
        Authority() as authority,
        Mirror(authority, str(lab.layout.gateway), files) as mirror,
        lab_site(lab, home) as site,
    ):
        for name in hosts:
            lab[name].run(authority.trust_script())
        block = mirror.site_block(*releases)
        site.secret("k3s-token", SERVER_TOKEN)
        site.secret("k3s-agent-token", AGENT_TOKEN)
        before = {name: Cluster.held(lab[name]) for name in hosts}
        try:
            yield Cluster(site, {**block, **k3s}, authority, before)
        finally:
            site.pulumi("destroy", "--yes", "--skip-preview", check=False)
