"""Three servers that hold the API's address themselves: the real kube-vip, with the manifest that a site gets.

One story for each family, in the order in which the tests stand: from nothing, through the loss of the server that has
it, and back. `make lab-virtual-ip` runs it, and `make lab-test` does not: it takes some minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from components.addresses import in_url
from engine.obtain.pin import EngineError
from lab.cluster import Cluster, cluster_site
from lab.gitops.site import registries
from lab.hosts.lab import Lab
from lab.hosts.layout import FIRST_HOST
from lab.hosts.network import has_ipv6
from lab.kubernetes import kube_vip
from lab.oci.registry import Registry
from lab.outside import IPV6
from tests.lab.k3s_site import wait_for

SERVERS = ("a", "b", "c")
_MOVES_WITHIN_S = 40
"""etcd's other members have no leader for some seconds first, and kube-vip's lease ends after 5."""


@pytest.fixture(scope="module", params=[4, 6], ids=["IPv4", "IPv6"])
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    ipv6 = request.param == 6
    if ipv6 and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    free = lab.layout.address6 if ipv6 else lab.layout.address
    try:
        images = kube_vip.images()
    except EngineError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("virtual-ip") / "site"
    with (
        cluster_site(lab, home, SERVERS, api_address=free(FIRST_HOST - 1), **(IPV6 if ipv6 else {})) as made,
        Registry(made.authority, lab.layout.gateway, images) as registry,
    ):
        made.k3s |= {"kube_vip": {"image": kube_vip.reference()}, "registries": registries(registry)}
        by_ipv6 = {name: {"address": lab[name].address6} for name in SERVERS}
        made.write(*SERVERS, of_host=by_ipv6 if ipv6 else {})
        yield made


def holders(cluster: Cluster, among: tuple[str, ...] = SERVERS) -> list[str]:
    """The servers that have the address on their network card."""
    shown = f"ip -oneline address show dev eth0 to {cluster.k3s['api_address']}"
    return [name for name in among if cluster.host(name).run(shown).stdout]


def one_has_it(cluster: Cluster, among: tuple[str, ...] = SERVERS) -> str:
    """The one server that has the address; waited for, since a server that is slow to renew its lease loses it."""
    found: list[str] = []

    def one() -> bool:
        found[:] = holders(cluster, among)
        return len(found) == 1

    wait_for("one server has the address", one)
    return found[0]


def answers_there(cluster: Cluster, asked_from: str) -> bool:
    """Whether the API answers at the address, with a certificate for it, to somebody on a host."""
    server = f"https://{in_url(cluster.k3s['api_address'])}:6443"
    ask = f"k3s kubectl --server '{server}' --request-timeout=3s get --raw /readyz"
    return cluster.host(asked_from).run(ask, check=False).stdout == "ok"


def test_the_site_comes_up_and_one_server_has_the_address(cluster: Cluster) -> None:
    cluster.site.up()
    assert cluster.nodes() == {"lab-a": True, "lab-b": True, "lab-c": True}
    one_has_it(cluster)


def test_the_api_answers_there_to_every_server(cluster: Cluster) -> None:
    assert [name for name in SERVERS if not answers_there(cluster, name)] == []


def test_another_server_has_it_within_seconds_of_a_loss(cluster: Cluster) -> None:
    lost = one_has_it(cluster)
    others = tuple(name for name in SERVERS if name != lost)
    cluster.host(lost).power_off()
    try:
        began = time.monotonic()
        wait_for("the API answers at the address", lambda: answers_there(cluster, others[0]))
        assert time.monotonic() - began < _MOVES_WITHIN_S
        one_has_it(cluster, others)
    finally:
        cluster.host(lost).power_on()
        cluster.host(lost).wait_booted()
    wait_for("it is back", lambda: cluster.answers(lost), seconds=240)


def test_a_server_that_comes_back_does_not_take_it_as_well(cluster: Cluster) -> None:
    wait_for("all are ready", lambda: all(cluster.nodes().values()), seconds=120)
    one_has_it(cluster)
    assert cluster.site.up() == {}


def test_a_server_whose_k3s_is_stopped_gives_it_to_another(cluster: Cluster) -> None:
    """Its containers go on: kube-vip runs, and what it announces would lead to no API."""
    stopped = one_has_it(cluster)
    others = tuple(name for name in SERVERS if name != stopped)
    cluster.host(stopped).run("systemctl stop k3s")
    try:
        assert cluster.host(stopped).run("pidof kube-vip").stdout != ""
        one_has_it(cluster, others)
        wait_for("and this one no longer", lambda: holders(cluster, (stopped,)) == [])
        wait_for("the API answers there", lambda: answers_there(cluster, others[0]))
    finally:
        cluster.host(stopped).run("systemctl start k3s", timeout_s=300)
    wait_for("it is back", lambda: cluster.answers(stopped), seconds=240)


def test_a_destroyed_site_leaves_the_address_on_no_host(cluster: Cluster) -> None:
    cluster.site.destroy()
    assert holders(cluster) == []
    for name in SERVERS:
        assert not cluster.left(name), name
