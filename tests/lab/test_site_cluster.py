"""A site's Kubernetes on real hosts: K3s' own way of installing, joining, changing, leaving and coming back.

The program and its scripts are the project's; Kubernetes is upstream's in the lab's `k3s`, which `lab/README.md`
describes. The tests are one story, in the order in which they stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from components.k3s import hardening
from lab.authority import Authority
from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.kubernetes.build import build
from lab.kubernetes.mirror import Mirror, release_files, sha256
from lab.site import Site, lab_site, sessions

_NOT_COMPARED = ("/var/lib/systemd", "/var/lib/dpkg", "/var/lib/containerd", "/etc/ssl", "*/ca-certificates*")
_WHAT_A_HOST_HOLDS = f"""
find /etc /usr/local /opt /var/lib -xdev {" ".join(f"! -path '{path}/*'" for path in _NOT_COMPARED)} -type f | sort
systemctl list-unit-files --no-legend --state=enabled | awk '{{print $1}}' | sort
ip -brief link | awk '{{print $1}}' | sort
"""


@dataclass
class Cluster:
    """A site with Kubernetes, and the mirror that its hosts download from."""

    site: Site
    k3s: dict[str, Any]
    authority: Authority
    before: dict[str, str]

    def write(self, *servers: str, agents: tuple[str, ...] = ()) -> None:
        self.site.write(*servers, agents=agents, k3s=self.k3s)

    def host(self, name: str) -> LabHost:
        return self.site.lab[name]

    def nodes(self) -> dict[str, bool]:
        """Every node that the API knows, and whether it is Ready."""
        said = self.host("a").run("k3s kubectl get nodes --output json").stdout
        return {
            item["metadata"]["name"]: any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in item["status"]["conditions"]
            )
            for item in json.loads(said)["items"]
        }


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    release = build()
    files = {release.version: release_files(release.binary, release.images)}
    with (
        Authority() as authority,
        Mirror(authority, str(lab.layout.gateway), files) as mirror,
        lab_site(lab, tmp_path_factory.mktemp("cluster") / "site") as site,
    ):
        for name in ("a", "b", "c"):
            lab[name].run(authority.trust_script())
        k3s = {
            "version": release.version,
            "mirror": mirror.url,
            "releases": {release.version: {"amd64": sha256(release.binary)}},
            "airgap_images": {release.version: {"amd64": sha256(release.images)}},
            "flannel_backend": "host-gw",
        }
        site.secret("k3s-token", "lab-server-token-0123456789abcdef")
        site.secret("k3s-agent-token", "lab-agent-token-0123456789abcdef")
        # Prepared first, so that what K3s leaves behind is told from what preparing a host leaves.
        site.write("a", "b", "c")
        site.up()
        before = {name: lab[name].run(_WHAT_A_HOST_HOLDS).stdout for name in ("a", "b", "c")}
        made = Cluster(site, k3s, authority, before)
        try:
            yield made
        finally:
            made.site.pulumi("destroy", "--yes", "--skip-preview", "--stack", "lab")


def test_a_server_and_an_agent_come_up_and_are_ready(cluster: Cluster) -> None:
    cluster.write("a", agents=("b",))
    cluster.site.up()
    assert cluster.nodes() == {"lab-a": True, "lab-b": True}


def test_a_second_up_changes_nothing_and_visits_nobody(cluster: Cluster) -> None:
    before = [sessions(cluster.host(name)) for name in ("a", "b")]
    assert cluster.site.up() == {}
    assert [sessions(cluster.host(name)) for name in ("a", "b")] == before


def test_the_running_programs_carry_the_hardening_that_was_rendered(cluster: Cluster) -> None:
    lines = cluster.host("a").run("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'").stdout.splitlines()
    shown = {line.removeprefix("--") for line in lines}
    wanted = {
        *hardening.API_SERVER_ARGS,
        *hardening.CONTROLLER_MANAGER_ARGS,
        *hardening.kubelet_args(4096),
    }
    assert not wanted - shown


def test_no_token_is_on_a_command_line_or_in_a_log(cluster: Cluster) -> None:
    for name in ("a", "b"):
        shown = cluster.host(name).run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; journalctl --no-pager").stdout
        assert "lab-server-token" not in shown
        assert "lab-agent-token" not in shown


def test_an_agent_that_is_added_is_all_that_changes(cluster: Cluster) -> None:
    cluster.write("a", agents=("b", "c"))
    touched = cluster.site.up()
    assert set(touched.values()) == {"create"}, touched
    assert all(name.startswith("lab-c") for name in touched), touched
    assert cluster.nodes() == {"lab-a": True, "lab-b": True, "lab-c": True}


def test_an_agent_that_leaves_is_forgotten_and_clean(cluster: Cluster) -> None:
    cluster.write("a", agents=("b",))
    touched = cluster.site.up()
    assert set(touched.values()) == {"delete"}, touched
    assert cluster.nodes() == {"lab-a": True, "lab-b": True}
    assert cluster.host("c").run(_WHAT_A_HOST_HOLDS).stdout == cluster.before["c"]


def test_a_reimaged_agent_comes_back_under_its_name(cluster: Cluster) -> None:
    host = cluster.host("b")
    host.reimage()
    host.wait_ssh(60)
    host.wait_booted(60)
    cluster.site.lab.pin()
    host.run(cluster.authority.trust_script())
    cluster.write("a", agents=("b",))
    cluster.site.up()
    assert cluster.nodes() == {"lab-a": True, "lab-b": True}
    assert host.run("hostname").stdout.strip() == "lab-b"


def test_destroy_leaves_clean_hosts(cluster: Cluster) -> None:
    cluster.site.destroy()
    assert cluster.host("a").run(_WHAT_A_HOST_HOLDS).stdout == cluster.before["a"]
    assert cluster.host("b").run("ls /etc/rancher /var/lib/rancher 2>/dev/null | cat").stdout == ""
