"""A site of three servers through the whole program, and the loss of the one that founded the cluster.

One story, in the order in which the tests stand. The API's address is a load balancer, as a site's router has one. It
takes the first server that accepts: the lost first server itself, as soon as K3s listens there, before it has joined.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.balancer import Balancer
from lab.cluster import Cluster, cluster_site
from lab.hosts.lab import Lab

_SERVERS = ("a", "b", "c")


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    address = str(lab.layout.gateway)
    home = tmp_path_factory.mktemp("servers") / "site"
    with (
        Balancer(address, [lab[name].address for name in _SERVERS]),
        cluster_site(lab, home, _SERVERS, api_address=address) as made,
    ):
        yield made


def members(cluster: Cluster, *, on: str) -> set[str]:
    """The nodes that are members of the cluster's etcd."""
    selector = "node-role.kubernetes.io/etcd=true"
    return set(cluster.kubectl("get", "nodes", "--selector", selector, "--output", "name", on=on).split())


def test_three_servers_come_up_as_one_cluster_in_high_availability(cluster: Cluster) -> None:
    cluster.write(*_SERVERS)
    cluster.site.up()
    assert cluster.nodes() == {"lab-a": True, "lab-b": True, "lab-c": True}
    assert members(cluster, on="b") == {"node/lab-a", "node/lab-b", "node/lab-c"}
    assert cluster.site.up() == {}


def test_a_lost_first_server_rejoins_what_it_founded_by_a_new_host_key_and_a_plain_up(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "from-before", "--namespace", "default", on="b")
    cluster.reimage("a")
    cluster.write(*_SERVERS)
    cluster.site.up()
    assert cluster.nodes(on="b") == {"lab-a": True, "lab-b": True, "lab-c": True}
    assert members(cluster, on="a") == {"node/lab-a", "node/lab-b", "node/lab-c"}
    assert "from-before" in cluster.kubectl("get", "configmap", "--namespace", "default", "--output", "name", on="a")
    assert cluster.site.up() == {}


def test_destroy_ends_the_cluster_and_leaves_clean_hosts(cluster: Cluster) -> None:
    cluster.site.destroy()
    assert cluster.left("b") == set()
    assert cluster.left("c") == set()
    assert cluster.host("a").run("ls /etc/rancher /var/lib/rancher 2>/dev/null | cat").stdout == ""
