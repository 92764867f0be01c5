"""IPv6, alone and beside IPv4: what K3s gets, and what the gate of a host finds on this machine's own kernel."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.host.machine import Machine
from components.host.plan import plan
from components.k3s.plan import api_url, files, host_checks, plan_node
from components.k3s.spec import K3sSpec
from tests.components.k3s.test_host_checks import box  # noqa: F401
from tests.components.site_parts import k3s, machine
from tests.sandbox import Sandbox, needs_root

ALONE = {"pod_cidr": "fd00:42::/56", "service_cidr": "fd00:43::/112"}
BOTH = {"pod_cidr": "10.42.0.0/16,fd00:42::/56", "service_cidr": "10.43.0.0/16,fd00:43::/112"}


def host(name: str = "a", address: str = "fd00:10::11", **fields: Any) -> Machine:
    small = {"arch": "amd64", "cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False}
    return machine(name, address, figures=small, **fields)


def config_of(spec: K3sSpec, which: Machine, servers: list[Machine]) -> dict[str, Any]:
    _, text = files(spec, which, servers, {}, ())["/etc/rancher/k3s/config.yaml"]
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_a_cluster_of_ipv6_alone_is_told_so_at_every_place() -> None:
    servers, agent = (
        [host("a"), host("b", "fd00:10::12"), host("c", "fd00:10::13")],
        host("d", "fd00:10::14", role="agent"),
    )
    spec = k3s(api_address="fd00:10::10", **ALONE)
    config = config_of(spec, servers[0], servers)
    assert (config["cluster-cidr"], config["service-cidr"]) == ("fd00:42::/56", "fd00:43::/112")
    assert config["node-ip"] == "fd00:10::11", "K3s would take the IPv4 address of a host that has one too"
    assert config["flannel-ipv6-masq"] is True
    assert config_of(spec, agent, servers)["server"] == "https://[fd00:10::10]:6443"
    assert api_url(spec, servers) == "https://[fd00:10::10]:6443"
    install = plan_node(spec, servers[1], servers, labels={}).install
    assert "for seed in '[fd00:10::11]' '[fd00:10::13]' '[fd00:10::10]'; do" in install
    assert "$(ip -6 route show default)" in install


def test_a_cluster_of_both_families_has_both_networks_and_both_addresses_of_each_node() -> None:
    one = host(address="edge-a.example.com", node_ip="10.0.0.11,fd00:10::11")
    config = config_of(k3s(**BOTH), one, [one])
    assert config["cluster-cidr"] == BOTH["pod_cidr"]
    assert config["service-cidr"] == BOTH["service_cidr"]
    assert config["node-ip"] == "10.0.0.11,fd00:10::11"
    assert config["tls-san"] == ["10.0.0.11", "fd00:10::11", "edge-a.example.com"]
    assert config["flannel-ipv6-masq"] is True
    planned = plan_node(k3s(**BOTH), one, [one], labels={})
    assert "$(ip route show default)" in planned.install
    assert "pods=10.42.0.0/16\n" in planned.uninstall
    assert "pods=fd00:42::/56\n" in planned.uninstall


def test_pods_with_public_addresses_keep_them_on_their_way_out() -> None:
    spec = k3s(pod_cidr="2a02:db9:42::/56", service_cidr="fd00:43::/112")
    assert "flannel-ipv6-masq" not in config_of(spec, host(), [host()])


def test_a_cluster_of_ipv4_is_told_nothing_of_ipv6() -> None:
    config = config_of(k3s(), host(address="10.0.0.11"), [host(address="10.0.0.11")])
    assert not {"node-ip", "flannel-ipv6-masq"} & config.keys()
    assert "inet6" not in host_checks(k3s(), host(address="10.0.0.11"), [host(address="10.0.0.11")])


@pytest.mark.parametrize(
    ("networks", "backend", "ports"),
    [
        ({}, "wireguard-native", [("51820", "flannel-wg")]),
        (ALONE, "wireguard-native", [("51821", "flannel-wg-v6")]),
        (BOTH, "wireguard-native", [("51820", "flannel-wg"), ("51821", "flannel-wg-v6")]),
        (ALONE, "vxlan", [("8472", "flannel-v6.1")]),
        (BOTH, "vxlan", [("8472", "flannel.1")]),
    ],
)
def test_the_gate_looks_at_the_port_of_each_familys_tunnel(
    networks: dict[str, str], backend: str, ports: list[tuple[str, str]]
) -> None:
    one = host(node_ip="10.0.0.11,fd00:10::11")
    checks = host_checks(k3s(flannel_backend=backend, **networks), one, [one])
    assert [tuple(line.split()[2:4]) for line in checks.splitlines() if line.startswith("k3s_port udp")] == ports


_CARD = """export PATH=${PATH#*/usr/local/sbin:}
ip link set lo up
ip link add edge1 type veth peer name edge2
ip link set edge2 up
ip link set edge1 up
ip address add fd00:10::11/64 dev edge1 nodad
"""


def said(box: Sandbox, before: str, networks: dict[str, str] = ALONE) -> str:  # noqa: F811
    """What the gate says of a host with `edge1` and fd00:10::11, after the commands ``before``."""
    which = host()
    return box.run(f"{_CARD}{before}\n{plan(which, [host_checks(k3s(**networks), which, [which])]).facts}").stderr


@needs_root
def test_a_host_with_the_address_and_a_lasting_default_route_passes(box: Sandbox) -> None:  # noqa: F811
    found = said(box, "ip -6 route add default via fd00:10::1 dev edge1")
    for word in ("IPv6", "fd00", "default route"):
        assert word not in found


@needs_root
def test_a_kernel_with_ipv6_off_is_refused_in_words(box: Sandbox) -> None:  # noqa: F811
    assert "IPv6 is disabled (net.ipv6.conf.all.disable_ipv6)" in said(
        box, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1"
    )


@needs_root
def test_an_address_that_no_card_has_is_named(box: Sandbox) -> None:  # noqa: F811
    found = said(box, "ip address del fd00:10::11/64 dev edge1; ip address add fd00:10::1/64 dev edge1 nodad")
    assert "no network card of the host has the address fd00:10::11" in found


@needs_root
def test_a_host_without_a_default_route_of_ipv6_is_refused_where_there_is_no_other(box: Sandbox) -> None:  # noqa: F811
    assert "there is no default route of IPv6" in said(box, "")
    assert "there is no default route of IPv6" not in said(box, "", BOTH)


@needs_root
@pytest.mark.parametrize(("listens", "told"), [(0, False), (1, True), (2, False)])
def test_a_default_route_that_a_node_would_lose_is_told(box: Sandbox, listens: int, told: bool) -> None:  # noqa: F811
    route = "ip -6 route add default via fe80::1 dev edge1 proto ra"
    found = said(box, f"sysctl -qw net.ipv6.conf.edge1.accept_ra={listens}\n{route}")
    assert ("the default route by edge1 comes from router advertisements" in found) == told


def test_the_script_of_a_host_with_ipv6_is_as_reviewed(golden: Any) -> None:
    golden("k3s/ipv6/facts.sh", plan(host(), [host_checks(k3s(**ALONE), host(), [host()])]).facts)
