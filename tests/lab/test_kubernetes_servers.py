"""A site that grows from one server to three and lives on when servers go: components/k3s on real hosts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.hosts.lab import Lab
from tests.lab.k3s_site import READY, Site, release_on_mirror, uninstalled_at_the_end, wait_for


@pytest.fixture(scope="module")
def three(lab: Lab) -> Iterator[Site]:
    """A site of three servers with etcd of their own, founded as one of a single server."""
    with (
        release_on_mirror(lab) as (authority, mirror, release),
        uninstalled_at_the_end(
            Site(lab, authority, mirror, release, {"a": "server", "b": "server", "c": "server"})
        ) as site,
    ):
        single = Site(lab, authority, mirror, release, {"a": "server"})
        single.script("a", single.cluster.cluster_init_permit)
        single.install("a")
        single.kubectl("create", "configmap", "from-sqlite")
        site.install("a")
        for name in ("b", "c"):
            site.script("a", site.plan(name).forget_old_node)
            site.install(name)
            site.script("a", site.plan(name).wait_ready)
        site.script("a", site.cluster.ready)
        yield site


def members(site: Site, *, on: str = "a") -> list[str]:
    """The nodes that the cluster knows as members of its etcd."""
    found = site.kubectl("get", "nodes", "--selector", "node-role.kubernetes.io/etcd=true", "--output", "name", on=on)
    return sorted(found.replace("node/", "").split())


def test_three_servers_share_one_cluster(three: Site) -> None:
    wait_for("all are members", lambda: members(three) == ["lab-a", "lab-b", "lab-c"])
    three.kubectl("create", "configmap", "shared", "--from-literal=from=a", on="a")
    for name in ("b", "c"):
        assert "shared" in three.kubectl("get", "configmap", "--output", "name", on=name)


def test_growing_to_three_servers_keeps_what_the_one_had(three: Site) -> None:
    assert "from-sqlite" in three.kubectl("get", "configmap", "--output", "name", on="c")
    assert three.host("a").run("test -e /var/lib/rancher/k3s/server/db/state.db", check=False).returncode == 1


def test_two_of_three_servers_go_on_without_the_first(three: Site) -> None:
    three.host("a").power_off()
    try:
        wait_for("b answers", lambda: "ok" in three.kubectl("get", "--raw", "/readyz", on="b", check=False))
        three.kubectl("create", "configmap", "while-a-is-off", on="b")
    finally:
        three.host("a").power_on()
        three.host("a").wait_booted()
    wait_for("a is back", lambda: "ok" in three.kubectl("get", "--raw", "/readyz", on="a", check=False))
    assert "while-a-is-off" in three.kubectl("get", "configmap", "--output", "name", on="a")


def test_a_reimaged_first_server_joins_the_cluster_that_it_once_founded(three: Site) -> None:
    three.host("a").reimage()
    three.host("a").wait_booted()
    wait_for("b answers", lambda: "ok" in three.kubectl("get", "--raw", "/readyz", on="b", check=False))
    wait_for("a is missed", lambda: "True" not in three.kubectl("get", "node", "lab-a", "--output", READY, on="b"))
    three.script("b", three.plan("a").forget_old_node)
    assert members(three, on="b") == ["lab-b", "lab-c"], "its member of the etcd went with its Node"
    three.install("a")
    three.script("b", three.plan("a").wait_ready)
    assert "while-a-is-off" in three.kubectl("get", "configmap", "--output", "name", on="a")
