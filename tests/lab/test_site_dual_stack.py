"""A site of both families, IPv4 first: from nothing to pods and Services that answer at addresses of both, and back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from lab.cluster import Cluster, cluster_site
from lab.hosts.lab import Lab
from lab.hosts.network import has_ipv6
from tests.lab.probe_pod import pod

NAMES = ("a", "b")
PODS, SERVICES = ("10.42.0.0/16", "fd00:42::/56"), ("10.43.0.0/16", "fd00:43::/112")


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    networks = {"pod_cidr": ",".join(PODS), "service_cidr": ",".join(SERVICES)}
    # A host keeps nothing of a cluster of one family that it had before.
    with cluster_site(lab, tmp_path_factory.mktemp("before") / "site", NAMES[:1]) as before:
        before.write(*NAMES[:1])
        before.site.up()
        before.site.destroy()
    with cluster_site(lab, tmp_path_factory.mktemp("dual-stack") / "site", NAMES, **networks) as made:
        both = {name: {"node_ip": f"{lab[name].address},{lab[name].address6}"} for name in NAMES}
        made.write("a", agents=("b",), of_host=both)
        yield made


def in_each(addresses: list[str], networks: tuple[str, ...]) -> bool:
    """Whether there is one address for each network, in their order."""
    return all(ip_address(one) in ip_network(network) for one, network in zip(addresses, networks, strict=True))


def test_nodes_are_ready_with_an_address_and_a_network_of_each_family(cluster: Cluster) -> None:
    cluster.site.up()
    assert cluster.nodes() == {"lab-a": True, "lab-b": True}
    for name in NAMES:
        node = json.loads(cluster.kubectl("get", "node", f"lab-{name}", "--output", "json"))
        internal = [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        assert internal == [cluster.host(name).address, cluster.host(name).address6]
        assert [ip_network(one).version for one in node["spec"]["podCIDRs"]] == [4, 6]


def test_the_api_has_a_certificate_for_the_loopback_of_each_family(cluster: Cluster) -> None:
    """kube-vip asks there, and nowhere else."""
    for loopback in ("127.0.0.1", "[::1]"):
        assert cluster.kubectl("--server", f"'https://{loopback}:6443'", "get", "--raw", "/readyz") == "ok", loopback


def test_a_second_up_changes_nothing(cluster: Cluster) -> None:
    assert cluster.site.up() == {}


def test_a_pod_reaches_one_of_the_other_host_by_both_families_and_by_a_service_of_both(cluster: Cluster) -> None:
    for name in NAMES:
        cluster.host("a").run("k3s kubectl apply --filename -", stdin=pod(f"server-{name}", host=name))
        cluster.kubectl("wait", "--for=condition=Ready", f"pod/server-{name}", "--timeout=60s")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "both"},
        "spec": {
            "ipFamilyPolicy": "RequireDualStack",
            "selector": {"app": "server-b"},
            "ports": [{"port": 80, "targetPort": 8080}],
        },
    }
    cluster.host("a").run("k3s kubectl apply --filename -", stdin=json.dumps(service))
    own, other = (addresses(cluster, f"pod/server-{name}", "status.podIPs[*].ip") for name in NAMES)
    services = addresses(cluster, "service/both", "spec.clusterIPs[*]")
    cluster.kubectl("--namespace", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
    assert in_each(own, PODS)
    assert in_each(other, PODS)
    assert in_each(services, SERVICES)
    for url, seen in (
        (f"http://{other[0]}:8080", f"{own[0]}:"),
        (f"http://[{other[1]}]:8080", f"[{own[1]}]:"),
        (f"http://{services[0]}", f"{own[0]}:"),
        (f"http://[{services[1]}]", f"[{own[1]}]:"),
        ("http://both.default.svc.cluster.local", ""),
    ):
        assert answer(cluster, url).startswith(f"server-b saw {seen}"), url


def addresses(cluster: Cluster, what: str, path: str) -> list[str]:
    return cluster.kubectl("get", what, "--output", f"'jsonpath={{.{path}}}'").split()


def answer(cluster: Cluster, url: str) -> str:
    """What ``url`` answers to a pod on host a: the rules for a pod and a Service come one family after the other."""
    end = time.monotonic() + 120
    while True:
        done = cluster.host("a").run(f"k3s kubectl exec server-a -- /probe get {url}", check=False)
        if done.stdout:
            return done.stdout
        if time.monotonic() > end:
            pods = cluster.kubectl("get", "pods", "--all-namespaces", "--output", "wide")
            pytest.fail(f"{url} does not answer: {done.stderr}\n{pods}")


def test_a_destroyed_site_leaves_clean_hosts(cluster: Cluster) -> None:
    cluster.site.destroy()
    for name in NAMES:
        assert not cluster.left(name), name
        for tables in ("iptables-save", "ip6tables-save"):
            assert cluster.host(name).run(f"{tables} | grep -c -e KUBE- -e FLANNEL || true").stdout.strip() == "0"
        routes = cluster.host(name).run("ip route; ip -6 route").stdout
        assert [word for word in routes.split() if word.startswith(("10.42.", "fd00:42:"))] == []
