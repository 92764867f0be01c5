"""A site whose nodes, pods and services have IPv6 addresses alone, from nothing to pods that answer, and back.

The hosts have IPv4 addresses as well, by which they fetch K3s and its images: the cluster uses none of them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address, ip_network
from socket import AF_INET6

import pytest

from edge.hosts.contact import unusable
from edge.hosts.login import Login
from lab.cluster import Cluster, cluster_site
from lab.hosts.lab import Lab
from lab.hosts.network import has_ipv6
from lab.hosts.system import wait_until
from stacks.loader import load_site
from tests.lab.probe_pod import pod

PODS, SERVICES = "fd00:42::/56", "fd00:43::/112"
NAMES = ("a", "b")


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    networks = {"pod_cidr": PODS, "service_cidr": SERVICES}
    with cluster_site(lab, tmp_path_factory.mktemp("ipv6") / "site", NAMES, **networks) as made:
        made.write("a", agents=("b",), of_host={name: {"address": lab[name].address6} for name in NAMES})
        yield made


def test_hosts_are_reached_and_nodes_are_ready_by_their_ipv6_addresses(cluster: Cluster) -> None:
    cluster.site.up()
    assert cluster.nodes() == {"lab-a": True, "lab-b": True}
    nodes = json.loads(cluster.kubectl("get", "nodes", "--output", "json"))["items"]
    for node in nodes:
        name = node["metadata"]["name"].removeprefix("lab-")
        addresses = [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        assert addresses == [cluster.host(name).address6]
        assert ip_network(node["spec"]["podCIDR"]).subnet_of(ip_network(PODS))  # type: ignore[arg-type]


def test_a_second_up_changes_nothing(cluster: Cluster) -> None:
    assert cluster.site.up() == {}


def test_edge_reaches_the_hosts_by_ipv6(cluster: Cluster) -> None:
    login = Login({"ssh-private-key": cluster.site.lab.operator_key.read_text()})
    assert unusable(load_site(cluster.site.file), login, NAMES) == {}


def test_pods_of_two_hosts_reach_each_other_by_address_and_by_name(cluster: Cluster) -> None:
    for name in NAMES:
        cluster.host("a").run("k3s kubectl apply --filename -", stdin=pod(f"server-{name}", host=name))
        cluster.kubectl("wait", "--for=condition=Ready", f"pod/server-{name}", "--timeout=60s")
    cluster.kubectl("expose", "pod", "server-b", "--port=80", "--target-port=8080")
    own, other = (
        cluster.kubectl("get", "pod", f"server-{name}", "--output", "'jsonpath={.status.podIP}'") for name in NAMES
    )
    assert ip_address(own) in ip_network(PODS)
    service = cluster.kubectl("get", "service", "server-b", "--output", "'jsonpath={.spec.clusterIP}'")
    assert ip_address(service) in ip_network(SERVICES)
    wait_until(lambda: asked(cluster, f"http://[{other}]:8080") != "", "the pod may connect", deadline_s=60)
    for url in (f"http://[{other}]:8080", f"http://[{service}]", "http://server-b.default.svc.cluster.local"):
        assert asked(cluster, url).startswith(f"server-b saw [{own}]:"), url


@contextmanager
def listening(address: str) -> Iterator[str]:
    """A web server of this machine that answers who asked; its URL."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.client_address[0].encode())

        def log_message(self, *_: object) -> None:
            return

    class Server(HTTPServer):
        address_family = AF_INET6

    with Server((address, 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://[{address}]:{server.server_port}"
        finally:
            server.shutdown()


def test_pods_leave_the_cluster_with_the_address_of_their_host(cluster: Cluster) -> None:
    with listening(cluster.site.lab.layout.gateway6) as url:
        assert asked(cluster, url) == cluster.host("a").address6


def asked(cluster: Cluster, url: str) -> str:
    """What ``url`` answers to a pod on host a; empty where it does not."""
    command = f"k3s kubectl exec server-a -- /probe get {url}"
    return cluster.host("a").run(command, check=False).stdout


def test_a_destroyed_site_leaves_clean_hosts(cluster: Cluster) -> None:
    cluster.site.destroy()
    for name in NAMES:
        assert not cluster.left(name), name
        tables = cluster.host(name).run("ip6tables-save | grep -c -e KUBE- -e FLANNEL || true").stdout
        assert tables.strip() == "0"
        assert PODS.partition("::")[0] not in cluster.host(name).run("ip -6 route").stdout
