"""The API's address held by the servers: kube-vip's objects, the gate of a host, and what makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from components.host.applied import COMMAND, Applied, Held, paired
from components.host.machine import Machine
from components.host.plan import plan
from components.k3s import virtual_ip
from components.k3s.consequences import VIRTUAL_IP, consequences
from components.k3s.plan import files, host_checks, plan_cluster, plan_node
from components.k3s.spec import K3sSpec
from components.shell import as_root
from tests.components.cluster_objects import image, problems
from tests.components.k3s.test_host_checks import box  # noqa: F401
from tests.components.site_parts import k3s, machine, site_of
from tests.sandbox import Sandbox, needs_root

SERVERS = [machine(name, f"10.0.0.1{index}") for index, name in enumerate("abc", 1)]
AGENT = machine("d", "10.0.0.14", role="agent")


def spec(address: str | None = "10.0.0.10", **kube_vip: Any) -> K3sSpec:
    return k3s(api_address=address, kube_vip={"image": image("kube-vip"), **kube_vip})


def objects(of: K3sSpec, servers: list[Machine] = SERVERS) -> dict[str, dict[str, Any]]:
    return {str(one["kind"]): dict(one) for one in virtual_ip.objects(of, servers)}


def settings(of: K3sSpec, servers: list[Machine] = SERVERS) -> dict[str, str]:
    (container,) = objects(of, servers)["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", "") for one in container["env"]}


def test_every_object_is_one_that_the_api_server_takes() -> None:
    for one in virtual_ip.objects(spec(), SERVERS):
        assert problems(one) == []


def test_the_address_is_the_sites_and_on_the_card_that_the_site_names() -> None:
    assert settings(spec())["address"] == "10.0.0.10"
    assert "vip_interface" not in settings(spec()), "each server finds the card of its default route"
    cards = [replace(server, interface="eno2") for server in SERVERS]
    assert settings(spec(), cards)["vip_interface"] == "eno2"
    assert settings(spec(interface="bond0"), cards)["vip_interface"] == "bond0"
    assert (settings(spec())["vip_subnet"], settings(spec("fd00::10"))["vip_subnet"]) == ("32", "128")


def test_it_asks_the_api_of_its_own_server_so_that_it_lets_go_when_that_is_away() -> None:
    asked = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert asked.items() <= settings(spec()).items()
    ipv6 = k3s(
        api_address="fd00::10",
        kube_vip={"image": image("kube-vip")},
        pod_cidr="fd00:42::/56",
        service_cidr="fd00:43::/112",
    )
    assert settings(ipv6)["KUBERNETES_SERVICE_HOST"] == "::1"


def test_it_runs_on_servers_only_and_on_each_of_them() -> None:
    pod = objects(spec())["DaemonSet"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"node-role.kubernetes.io/control-plane": "true"}
    assert pod["tolerations"] == [{"operator": "Exists"}]


def test_it_may_change_the_hosts_network_and_one_lease_and_nothing_else() -> None:
    found = objects(spec())
    (container,) = found["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert "ClusterRole" not in found
    lease = settings(spec())["vip_leasename"]
    create, rest = found["Role"]["rules"]
    assert (create["verbs"], create["resources"]) == (["create"], ["leases"])
    assert (rest["resourceNames"], rest["resources"]) == ([lease], ["leases"])
    assert settings(spec())["svc_enable"] == "false"


def test_the_manifest_is_on_every_server_and_on_no_agent() -> None:
    for which in (*SERVERS, AGENT):
        assert (virtual_ip.FILE in files(spec(), which, SERVERS, {}, ())) == which.is_server
    without = k3s(api_address="10.0.0.10")
    assert virtual_ip.FILE not in files(without, SERVERS[0], SERVERS, {}, ())


def test_the_cluster_is_ready_when_the_address_answers() -> None:
    assert "https://10.0.0.10:6443/cacerts" in plan_cluster(spec(), SERVERS).ready
    assert "https://[fd00::10]:6443/cacerts" in plan_cluster(spec("fd00::10"), SERVERS).ready
    assert "held" not in plan_cluster(k3s(api_address="10.0.0.10"), SERVERS).ready


def test_the_manifest_is_as_reviewed(golden: Callable[[str, str], None]) -> None:
    _, text = files(spec(), SERVERS[0], SERVERS, {}, ())[virtual_ip.FILE]
    assert len(list(yaml.safe_load_all(text))) == 4
    golden("k3s/kube-vip.yaml", text)


def changed(before: K3sSpec, now: K3sSpec) -> list[str]:
    """What the consequences say of it, for a site whose servers run with ``before``."""
    held = []
    for one in SERVERS:
        install = plan_node(before, one, SERVERS, labels={}).install
        urn = f"urn:pulumi:site::edge::edge:index:EdgeSite$edge:index:K3s${COMMAND}::{one.node}-k3s"
        gate = f"urn:pulumi:site::edge::edge:index:EdgeSite$edge:index:Host${COMMAND}::{one.node}-reachable"
        held += [
            Held(urn, {"create": as_root(install, "core")}),
            Held(gate, {"create": as_root(plan(one).reachable, "core")}),
        ]
    applied = Applied.of(held)
    found = consequences(applied, paired(applied, SERVERS), now, site_of(*SERVERS))
    return [one.reason + one.way for one in found if one.edit is VIRTUAL_IP]


def test_what_comes_and_what_goes_is_said_and_what_stays_is_not() -> None:
    without = k3s(api_address="10.0.0.10")
    assert changed(without, without) == []
    assert changed(spec(), spec()) == []
    (comes,) = changed(without, spec())
    assert "10.0.0.10 is held by kube-vip from now on" in comes
    (moves,) = changed(spec(), spec(interface="bond0"))
    assert "or by another one" in moves
    (goes,) = changed(spec(), without)
    assert f"k3s kubectl delete --filename {virtual_ip.FILE}" in goes


_CARDS = """export PATH=${PATH#*/usr/local/sbin:}
ip link set lo up
ip link add edge1 type veth peer name edge2
ip link add edge3 type veth peer name edge4
for card in edge1 edge2 edge3 edge4; do ip link set "$card" up; done
ip address add 10.0.0.11/24 dev edge1
ip address add 10.0.1.11/24 dev edge3
ip route add default via 10.0.0.1
"""


def said(box: Sandbox, of: K3sSpec, before: str = "") -> str:  # noqa: F811
    checks = host_checks(of, SERVERS[0], SERVERS)
    return box.run(f"{_CARDS}{before}\n{plan(SERVERS[0], [checks]).facts}").stderr


@needs_root
@pytest.mark.parametrize(
    ("address", "card", "told"),
    [
        ("10.0.0.10", None, ""),
        ("10.0.0.10", "edge1", ""),
        ("10.0.0.10", "edge3", "10.0.0.10 (`k3s.api_address`) is not in the network of the card edge3"),
        ("10.9.0.10", None, "10.9.0.10 (`k3s.api_address`) is in no network of this host"),
    ],
)
def test_the_gate_asks_whether_the_address_is_in_the_servers_network(
    box: Sandbox,  # noqa: F811
    address: str,
    card: str | None,
    told: str,
) -> None:
    found = said(box, spec(address, **({"interface": card} if card else {})))
    assert told in found
    assert ("k3s.api_address" in found) == bool(told)


@needs_root
def test_a_server_that_holds_the_address_passes(box: Sandbox) -> None:  # noqa: F811
    found = said(box, spec(interface="edge1"), "ip address add 10.0.0.10/32 dev edge1")
    assert "k3s.api_address" not in found


_TAKES_IT_BACK = "# kube-vip could not take it back"


@needs_root
def test_a_server_that_is_uninstalled_does_not_keep_the_address(box: Sandbox) -> None:  # noqa: F811
    """Its kube-vip is killed. Another server has the address from then on, and two would answer for it."""
    _, _, rest = plan_node(spec(), SERVERS[0], SERVERS, labels={}).uninstall.partition(_TAKES_IT_BACK)
    # The rest of the script ends processes, and not only those of the sandbox.
    fragment = f"#{rest.partition('|| true' + chr(10) + chr(10))[0]}|| true"
    done = box.run(f"{_CARDS}ip address add 10.0.0.10/32 dev edge1\n{fragment}\nip -4 -oneline address")
    assert done.code == 0, done.stderr
    assert "10.0.0.11/24" in done.stdout
    assert "10.0.0.10/32" not in done.stdout


def test_nothing_of_it_is_in_the_scripts_of_agents_and_of_other_sites() -> None:
    for of, server in ((spec(), AGENT), (k3s(), SERVERS[0])):
        assert _TAKES_IT_BACK not in plan_node(of, server, SERVERS, labels={}).uninstall
