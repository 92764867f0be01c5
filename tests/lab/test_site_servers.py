"""A site of three servers through the whole program: what it may lose, and how it comes back by `docs/operations.md`.

One story, in the order in which the tests stand; each starts from a site that is whole, and leaves one. Where the CLI
is killed in the middle, it is killed when the named resource has begun to change. The API's address is a load balancer,
as a site's router has one. It takes the first server that accepts: a lost first server leads to itself, as soon as K3s
listens there, before it has joined.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.host.os_updates import TIMER
from lab.balancer import Balancer
from lab.cluster import Cluster, cluster_site
from lab.hosts.lab import Lab
from lab.hosts.system import wait_until
from tests.lab.probe_pod import pod
from tests.lab.published import DEBIAN
from tests.lab.rolling import Watched

_SERVERS = ("a", "b", "c")
_BOOT = "cat /proc/sys/kernel/random/boot_id"
_LOCK = "edge-reboot"
_ELECTION_S = 15
"""More than etcd takes to find another leader, and less than a server takes to restart."""
_SAID, _KEPT = "/var/log/edge-os-updates", "/etc/systemd/system/edge-os-updates.service.d/kept.conf"
_KEEP_WHAT_IT_SAYS = f"[Service]\nStandardOutput=append:{_SAID}\nStandardError=inherit\n"
"""A host of the lab forgets its journal when it restarts."""
_ALL_READY = {"lab-a": True, "lab-b": True, "lab-c": True}


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    address = str(lab.layout.gateway)
    home = tmp_path_factory.mktemp("servers") / "site"
    with (
        Balancer(address, [lab[name].address for name in _SERVERS]),
        cluster_site(lab, home, _SERVERS, api_address=address) as made,
    ):
        made.write("a")
        made.site.up()
        made.kubectl("create", "configmap", "from-before", "--namespace", "default")
        yield made


def killed_at(cluster: Cluster, resource: str) -> None:
    """An `up` that is killed when ``resource`` has begun to change; its lock is removed as its owner is gone."""
    run = cluster.site.start("up", "--yes", "--skip-preview", "--json")
    assert run.stdout is not None
    said = []
    for line in run.stdout:
        event = json.loads(line)
        said.append(event.get("diagnosticEvent", {}).get("message", ""))
        if begun(event).endswith(f"::{resource}"):
            break
    else:
        pytest.fail(f"{resource} did not change: {''.join(said)}{cluster.site.stderr.read_text()}")
    run.kill()
    run.communicate()
    cluster.site.pulumi("cancel", "--yes", check=False)


def begun(event: dict[str, Any]) -> str:
    """The resource whose change an event of the engine announces."""
    metadata = event.get("resourcePreEvent", {}).get("metadata", {})
    return str(metadata["urn"]) if metadata.get("op") not in (None, "same", "read") else ""


def failed(cluster: Cluster) -> str:
    """What an `up` said that had to fail."""
    done: subprocess.CompletedProcess[str] = cluster.site.pulumi("up", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr


def is_whole(cluster: Cluster, *, on: str = "a", nodes: dict[str, bool] | None = None) -> None:
    """The site is up with its data, and one more `up` finds nothing to do."""
    assert cluster.nodes(on=on) == (_ALL_READY if nodes is None else nodes)
    members = cluster.kubectl(
        "get", "nodes", "--selector", "node-role.kubernetes.io/etcd=true", "--output", "name", on=on
    )
    assert {f"node/{name}" for name in (nodes or _ALL_READY)} == set(members.split())
    assert "from-before" in cluster.kubectl("get", "configmap", "--namespace", "default", "--output", "name", on=on)
    assert cluster.site.up() == {}


def _locks(cluster: Cluster) -> str:
    return cluster.kubectl("get", "configmaps", "--namespace=kube-system", "--output=name")


def _several_pods() -> str:
    """Pods on every server, which a drain has to move."""
    made = json.loads(pod("several", host="a"))
    del made["spec"]["nodeName"], made["spec"]["restartPolicy"]
    made["spec"]["terminationGracePeriodSeconds"] = 1
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    selector = {"matchLabels": made["metadata"]["labels"]}
    made["spec"]["topologySpreadConstraints"] = [{**spread, "labelSelector": selector}]
    template = {"metadata": {"labels": made["metadata"]["labels"]}, "spec": made["spec"]}
    body = {"replicas": 3, "selector": selector, "template": template}
    named = {"name": "several", "namespace": "default"}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named, "spec": body})


def power(cluster: Cluster, *names: str, on: bool) -> None:
    for name in names:
        host = cluster.host(name)
        if not on:
            host.power_off()
            continue
        host.power_on()
        host.wait_ssh(60)
        host.wait_booted(60)


def test_one_server_grows_to_three_in_high_availability_and_keeps_what_it_had(cluster: Cluster) -> None:
    cluster.write(*_SERVERS)
    cluster.site.up()
    is_whole(cluster, on="c")
    assert cluster.host("a").run("ls /var/lib/rancher/k3s/server/db").stdout.split().count("state.db") == 0


def test_three_servers_that_want_to_reboot_at_once_do_so_in_turn_and_the_api_stays(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The worst case of one window: their parts of it are apart, and here they begin in the same second."""
    hosts = {name: cluster.host(name) for name in _SERVERS}
    for host in hosts.values():
        DEBIAN.put_on(host)
    cluster.write(*_SERVERS, os={"distribution": "debian", "disk": "none", "updates": {"window": "Sun 02:00"}})
    cluster.site.up()
    cluster.host("a").run("k3s kubectl apply --filename=-", stdin=_several_pods())
    cluster.kubectl("rollout", "status", "deployment/several", "--timeout=60s")
    begins = {host.run(f"systemctl show --property=NextElapseUSecRealtime {TIMER}").stdout for host in hosts.values()}
    assert len(begins) == 3, "each has its part of the window"
    for host in hosts.values():
        host.run(f"install -D /dev/stdin {_KEPT} && systemctl daemon-reload", stdin=_KEEP_WHAT_IT_SAYS)
        DEBIAN.published(host, 2)
    boots = {name: host.run(_BOOT).stdout for name, host in hosts.items()}
    with Watched(hosts, tmp_path) as watched:
        for host in hosts.values():
            host.run("systemctl start --no-block edge-os-updates.service")
        wait_until(lambda: all(watched.restarts.values()), "each has begun to restart", deadline_s=900, poll_s=0.5)
        wait_until(lambda: not watched.down, "all are back", deadline_s=300, poll_s=0.5)
        wait_until(
            lambda: _LOCK not in _locks(cluster), "the last one has let go of the lock", deadline_s=180, poll_s=1
        )
    assert watched.restarts == {"a": 1, "b": 1, "c": 1}
    assert watched.most_down == 1
    assert watched.most_cordoned == 1
    assert watched.longest_silence_s < _ELECTION_S
    assert watched.answers > 100
    assert all(host.run(_BOOT).stdout != boots[name] for name, host in hosts.items())
    assert "SchedulingDisabled" not in cluster.kubectl("get", "nodes")
    for host in hosts.values():
        said = host.run(f"cat {_SAID}").stdout
        assert "pod/several-" in said, said
        assert "evicted" in said, said
        assert "not all pods could be moved" not in said
        assert DEBIAN.installed(host) == "2"
        host.run(f"rm --recursive {_SAID} {_KEPT.rpartition('/')[0]}")
        DEBIAN.take_off(host)
    cluster.kubectl("delete", "deployment", "several")
    cluster.write(*_SERVERS)
    cluster.site.up()
    is_whole(cluster)
    ours = "find /etc /usr/local -name '*edge-os-updates*' -o -name 95-edge"
    assert [host.run(ours).stdout for host in hosts.values()] == ["", "", ""], "updates are left to others again"


def test_a_lost_first_server_comes_back_though_the_cli_is_killed_while_it_joins(cluster: Cluster) -> None:
    cluster.reimage("a")
    cluster.write(*_SERVERS)
    killed_at(cluster, "lab-a-k3s")
    cluster.site.up()
    is_whole(cluster, on="b")


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_server_whose_node_was_deleted_comes_back_when_it_is_applied_again(cluster: Cluster, name: str) -> None:
    other = "c"
    cluster.kubectl("delete", "node", f"lab-{name}", "--timeout=60s", on=other)
    cluster.write(*_SERVERS, of_host={name: {"reapply": "its-node-was-deleted"}})
    killed_at(cluster, f"lab-{name}-k3s")
    cluster.site.up()
    is_whole(cluster, on=other)
    cluster.write(*_SERVERS)
    cluster.site.up()


def test_a_server_without_its_datastore_starts_no_second_cluster_and_joins_when_it_is_applied_again(
    cluster: Cluster,
) -> None:
    """As after a restore of etcd: K3s alone would begin anew where its datastore is gone."""
    host = cluster.host("c")
    db = "/var/lib/rancher/k3s/server/db"
    host.run(f"systemctl stop k3s && mv {db} {db}-aside && systemctl start --no-block k3s")
    said = "journalctl --unit=k3s --grep='would start a second cluster' --quiet"
    wait_until(lambda: host.run(said, check=False).stdout != "", "K3s is kept from starting", deadline_s=30)
    assert host.run(f"ls {db}", check=False).returncode != 0
    cluster.kubectl("delete", "node", "lab-c", "--timeout=60s")
    cluster.write(*_SERVERS, of_host={"c": {"reapply": "its-datastore-is-gone"}})
    cluster.site.up()
    is_whole(cluster)
    host.run(f"rm --recursive {db}-aside")
    cluster.write(*_SERVERS)
    cluster.site.up()


def test_two_of_three_servers_go_on_without_the_first(cluster: Cluster) -> None:
    power(cluster, "a", on=False)
    wait_until(lambda: cluster.answers("b"), "b answers alone", deadline_s=60)
    cluster.kubectl("create", "configmap", "while-a-is-off", "--namespace", "default", on="b")
    power(cluster, "a", on=True)
    wait_until(lambda: cluster.answers("a"), "a is back", deadline_s=120)
    wait_until(lambda: cluster.nodes() == _ALL_READY, "all nodes are Ready", deadline_s=120)
    assert "while-a-is-off" in cluster.kubectl("get", "configmap", "--namespace", "default", "--output", "name", on="a")


def test_a_lost_quorum_is_said_in_one_message_and_comes_back_with_the_servers(cluster: Cluster) -> None:
    power(cluster, "b", "c", on=False)
    cluster.k3s["pod_max_pids"] = 2048
    cluster.write(*_SERVERS)
    said = failed(cluster)
    assert "lab-a-k3s" in said
    power(cluster, "b", "c", on=True)
    cluster.site.up()
    is_whole(cluster)


def test_three_servers_go_back_to_one_and_a_server_that_is_down_is_named_as_what_holds_it_up(cluster: Cluster) -> None:
    power(cluster, "b", on=False)
    cluster.write("a")
    said = failed(cluster)
    assert "lab-c" in said
    power(cluster, "b", on=True)
    killed_at(cluster, "lab-b-k3s-member")
    cluster.site.up()
    is_whole(cluster, nodes={"lab-a": True})
    held = cluster.host("a").run("ls /var/lib/rancher/k3s/server/db").stdout.split()
    assert "etcd" in held
    assert "state.db" not in held, "the datastore that the server has stays what it is"
    assert cluster.left("c") == set()


def test_one_server_that_was_one_of_three_grows_to_three_again(cluster: Cluster) -> None:
    cluster.write(*_SERVERS)
    killed_at(cluster, "lab-c-k3s")
    cluster.site.up()
    wait_until(lambda: cluster.nodes() == _ALL_READY, "all nodes are Ready", deadline_s=60)
    is_whole(cluster)


def test_servers_that_no_other_can_forget_are_named_with_the_way_on(cluster: Cluster) -> None:
    for name in ("b", "c"):
        cluster.reimage(name)
    cluster.write(*_SERVERS)
    said = failed(cluster)
    assert "Most servers are lost" in said


def test_a_site_without_any_server_starts_a_new_cluster_on_purpose_only(cluster: Cluster) -> None:
    cluster.reimage("a")
    cluster.write(*_SERVERS)
    assert "No server is left" in failed(cluster)
    (permit,) = [one["urn"] for one in cluster.site.resources() if one["urn"].endswith("::lab-k3s-birth")]
    cluster.site.pulumi("up", "--yes", "--skip-preview", "--replace", permit)
    assert cluster.nodes() == _ALL_READY
    assert cluster.site.up() == {}


def test_destroy_ends_the_cluster_and_leaves_clean_hosts(cluster: Cluster) -> None:
    cluster.site.destroy()
    assert cluster.left("b") == set()
    assert cluster.left("c") == set()
    assert cluster.host("a").run("ls /etc/rancher /var/lib/rancher 2>/dev/null | cat").stdout == ""
