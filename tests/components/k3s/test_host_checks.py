"""What the host's gate finds out for K3s before anything is installed, on this machine's own kernel and sockets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from components.host.machine import Machine
from components.host.plan import plan
from components.host.spec import Distribution, OsSpec
from components.k3s.plan import host_checks
from tests.components.site_parts import k3s, machine
from tests.sandbox import Run, Sandbox, needs_root

pytestmark = needs_root

CONFIG = "".join(
    f"CONFIG_{name}=y\n"
    for name in (
        *("IP_SET", "IP_SET_HASH_IP", "IP_SET_HASH_NET", "NETFILTER_XT_SET", "OVERLAY_FS", "BRIDGE_NETFILTER"),
        *("NF_CONNTRACK", "NETFILTER_XT_MATCH_COMMENT", "NETFILTER_XT_MATCH_CONNTRACK", "NETFILTER_XT_MATCH_MULTIPORT"),
    )
)
BARE_KERNEL = 'mount -t tmpfs tmpfs /sys/module; mount --bind "$SANDBOX/config" /proc/config.gz\n'
"""Only what the file `config` says is in the kernel, and no module can be loaded."""

_IP = """
case "$*" in
  *'type wireguard') [ -e "$SANDBOX/wireguard" ] || { echo 'Error: Unknown device type.' >&2; exit 2; } ;;
  'link delete dev edge-check') ;;
  *) PATH=${PATH#*/usr/local/sbin:} exec ip "$@" ;;
esac
"""


_SYSTEMCTL = """
case $1 in
  show) echo loaded ;;
  *) [ -e "$SANDBOX/$1-${!#}" ] ;;
esac
"""
"""Units are active or enabled that a file beside the sandbox names."""


def listening(protocol: str, port: int, *, then: str = "") -> str:
    """Shell: a program that has the port, with its number in `$pid`, before ``then``."""
    kind, listen = ("STREAM", "s.listen();") if protocol == "tcp" else ("DGRAM", "")
    program = (
        f'import socket as x; s = x.socket(x.AF_INET, x.SOCK_{kind}); s.bind(("", {port})); {listen}'
        'open("/run/up", "w").close(); import time; time.sleep(600)'
    )
    return f"""python3 -c '{program}' & pid=$!
until [ -e /run/up ]; do kill -0 "$pid"; done
trap 'kill "$pid"' EXIT
{then}
"""


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    made = Sandbox(
        tmp_path / "box",
        {
            "uname": 'case $1 in -m) echo x86_64 ;; *) PATH=${PATH#*/usr/local/sbin:} exec uname "$@" ;; esac',
            "modprobe": "exit 1",
            "systemctl": _SYSTEMCTL,
            "ip": _IP,
            "stat": 'case "$*" in --file-system*) cat "$SANDBOX/cgroup" ;; *) exec /usr/bin/stat "$@" ;; esac',
        },
    )
    made.path("/etc/os-release").parent.mkdir(parents=True, exist_ok=True)
    made.path("/etc/os-release").write_text("ID=flatcar\n")
    (made.home / "config").write_text(CONFIG)
    (made.home / "wireguard").touch()
    cgroup(made, "cgroup2fs", "cpu memory pids")
    return made


_CARD = """export PATH=${PATH#*/usr/local/sbin:}
/usr/sbin/ip link add edge1 type veth peer name edge2
/usr/sbin/ip address add 10.0.0.11/24 dev edge1
"""


def of_card(box: Sandbox, card: str, address: str) -> str:
    """What the gate says of a host whose nodes talk by ``card``. It has `edge1` with 10.0.0.11."""
    which = dataclasses.replace(host(address=address), interface=card)
    return box.run(_CARD + plan(which, [host_checks(k3s(), which, [which])]).facts).stderr


def test_a_network_card_that_is_not_there_is_told_with_those_that_are(box: Sandbox) -> None:
    said = of_card(box, "eno2", "10.0.0.11")
    assert "there is no network card eno2" in said
    assert "edge1" in said.partition("there is no network card")[2]


def test_an_address_that_another_card_has_is_told(box: Sandbox) -> None:
    assert "does not have the address 10.0.0.1:" in of_card(box, "edge1", "10.0.0.1"), "and is no part of 10.0.0.11"
    assert "network card" not in of_card(box, "edge1", "10.0.0.11")


def cgroup(box: Sandbox, kind: str, controllers: str) -> None:
    (box.home / "cgroup").write_text(kind)
    (box.home / "controllers").write_text(controllers)


def host(role: str = "server", address: str = "10.0.0.11", distribution: Distribution = "flatcar") -> Machine:
    small = {"arch": "amd64", "cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False}
    return machine("a", address, role=role, os=OsSpec(distribution=distribution, disk="none"), figures=small)


def asked(box: Sandbox, before: str = "", *, role: str = "server", servers: int = 1, **k3s_fields: object) -> Run:
    """The gate of a host of a K3s site, on a kernel that has what `config` says."""
    which = host(role)
    checks = host_checks(k3s(api_address="10.0.0.10", **k3s_fields), which, [host()] * servers)
    controllers = 'mount -t tmpfs tmpfs /sys/fs/cgroup; cp "$SANDBOX/controllers" /sys/fs/cgroup/cgroup.controllers\n'
    return box.run(f"set -e\n{BARE_KERNEL}{controllers}{before}\n{plan(which, [checks]).facts}")


def refused(done: Run, *words: str) -> None:
    assert done.code != 0, done.stdout
    assert "this is not the host that the site file describes" in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_a_host_that_has_what_k3s_needs_passes(box: Sandbox) -> None:
    done = asked(box, servers=3)
    assert done.code == 0, done.stderr


def test_wireguard_is_tried_by_a_link_that_is_removed_again(box: Sandbox) -> None:
    calls = [call for call in asked(box).calls if "edge-check" in call]
    assert calls[-2:] == ["ip link add dev edge-check type wireguard", "ip link delete dev edge-check"]


def test_a_kernel_without_wireguard_is_refused_where_the_site_encrypts_with_it(box: Sandbox) -> None:
    (box.home / "wireguard").unlink()
    refused(asked(box), "no WireGuard (ip: Error: Unknown device type.)", "flannel_backend", "network/mtls-strict")
    (box.home / "config").write_text(CONFIG + "CONFIG_VXLAN=y\n")
    for backend in ("vxlan", "host-gw"):
        done = asked(box, flannel_backend=backend)
        assert done.code == 0, done.stderr
        assert not [call for call in done.calls if "wireguard" in call]


def test_a_kernel_without_vxlan_is_refused_where_the_site_uses_it(box: Sandbox) -> None:
    refused(asked(box, flannel_backend="vxlan"), "no module vxlan")


@pytest.mark.parametrize(
    ("option", "module", "consequence"),
    [
        ("IP_SET", "ip_set", "enforces no NetworkPolicy"),
        ("IP_SET_HASH_NET", "ip_set_hash_net", "enforces no NetworkPolicy"),
        ("NETFILTER_XT_SET", "xt_set", "enforces no NetworkPolicy"),
        ("BRIDGE_NETFILTER", "br_netfilter", "Services and pods need them"),
        ("NETFILTER_XT_MATCH_COMMENT", "xt_comment", "Services and pods need them"),
    ],
)
def test_a_kernel_without_ipset_or_netfilter_is_refused(
    box: Sandbox, option: str, module: str, consequence: str
) -> None:
    (box.home / "config").write_text(CONFIG.replace(f"CONFIG_{option}=y\n", f"# CONFIG_{option} is not set\n"))
    refused(asked(box), f"the kernel has no module {module}: ", consequence)
    box.install("/usr/local/sbin/modprobe", f'[ "$*" = "--dry-run --quiet {module}" ]')
    assert asked(box).code == 0, "a module that can be loaded is as good as one that is built in"


def test_a_kernel_of_which_nothing_can_be_learnt_is_not_taken_for_a_good_one(box: Sandbox) -> None:
    (box.home / "config").write_text("")
    refused(asked(box), "the kernel has no module ip_set ip_set_hash_ip ip_set_hash_net xt_set")


def test_a_host_with_cgroup_v1_is_refused_unless_the_site_allows_it(box: Sandbox) -> None:
    cgroup(box, "tmpfs", "")
    v1 = "printf 'cpu\\t1\\t1\\t1\\nmemory\\t4\\t323\\t1\\n' >/run/cgroups; mount --bind /run/cgroups /proc/cgroups"
    refused(asked(box, v1), "cgroup v1", "`fail_cgroup_v1: false`")
    done = asked(box, v1, fail_cgroup_v1=False)
    assert done.code == 0, done.stderr


def test_a_release_that_runs_on_cgroup_v1_by_itself_is_not_refused_for_it(box: Sandbox) -> None:
    cgroup(box, "tmpfs", "")
    v1 = "printf 'memory\\t4\\t323\\t1\\n' >/run/cgroups; mount --bind /run/cgroups /proc/cgroups"
    older = "v1.34.9+k3s1"
    done = asked(box, v1, version=older, releases={older: {"amd64": "a" * 64}})
    assert done.code == 0, done.stderr


def test_a_host_without_the_memory_cgroup_is_refused_with_the_kernels_argument(box: Sandbox) -> None:
    cgroup(box, "cgroup2fs", "cpu pids")
    refused(asked(box), "memory cgroup is off", "cgroup_enable=memory")
    cgroup(box, "tmpfs", "")
    off = "printf 'memory\\t0\\t1\\t0\\n' >/run/cgroups; mount --bind /run/cgroups /proc/cgroups"
    refused(asked(box, off, fail_cgroup_v1=False), "memory cgroup is off")


@pytest.mark.parametrize(
    ("protocol", "port", "role", "servers"),
    [
        ("tcp", 6443, "server", 1),
        ("tcp", 2379, "server", 3),
        ("tcp", 2380, "server", 3),
        ("tcp", 10250, "server", 1),
        ("tcp", 10250, "agent", 1),
        ("udp", 51820, "agent", 1),
    ],
)
def test_a_port_of_k3s_that_another_program_has_is_refused_by_that_programs_name(
    box: Sandbox, protocol: str, port: int, role: str, servers: int
) -> None:
    done = asked(box, listening(protocol, port), role=role, servers=servers)
    refused(done, f"port {port}/{protocol} is used by python3 (pid=")


@pytest.mark.parametrize(
    ("protocol", "port", "role", "servers"),
    [("tcp", 6443, "agent", 1), ("tcp", 2379, "server", 1), ("tcp", 2379, "agent", 3), ("udp", 8472, "server", 1)],
)
def test_a_port_that_k3s_does_not_use_on_this_host_is_nobodys_business(
    box: Sandbox, protocol: str, port: int, role: str, servers: int
) -> None:
    done = asked(box, listening(protocol, port), role=role, servers=servers)
    assert done.code == 0, done.stderr


def test_k3s_that_runs_already_is_not_in_its_own_way(box: Sandbox) -> None:
    own = 'echo "0::/system.slice/k3s.service" >/run/own; mount --bind /run/own "/proc/$pid/cgroup"'
    done = asked(box, listening("tcp", 6443, then=own))
    assert done.code == 0, done.stderr
    other = 'echo "0::/system.slice/k3s-proxy.service" >/run/own; mount --bind /run/own "/proc/$pid/cgroup"'
    refused(asked(box, listening("tcp", 6443, then=other)), "port 6443/tcp is used by python3")


@pytest.mark.parametrize("shown", ['users:(("k3s",pid=999999,fd=3))', ""])
def test_a_process_that_ends_while_it_is_looked_at_has_no_port(box: Sandbox, shown: str) -> None:
    """K3s that starts again, after its node was deleted or its quorum lost."""
    once = f"[ -e /run/shown ] || echo 'LISTEN 0 4096 *:6443 *:* {shown}'; : >/run/shown"
    box.install("/usr/local/sbin/ss", once)
    done = asked(box)
    assert done.code == 0, done.stderr


def test_a_tunnel_of_somebody_else_in_the_kernel_is_refused_and_flannels_own_is_not(box: Sandbox) -> None:
    (box.home / "config").write_text(CONFIG + "CONFIG_VXLAN=y\n")

    def tunnel(name: str) -> str:
        link = f"ip link add {name} type vxlan id 9 dstport 8472 dev lo"
        return f"{link} || exit 77; ip link set lo up; ip link set {name} up"

    done = asked(box, tunnel("other"), flannel_backend="vxlan")
    if done.code == 77:
        pytest.skip("this machine's kernel has no VXLAN")
    refused(done, "port 8472/udp is used by the kernel")
    own = asked(box, tunnel("flannel.1"), flannel_backend="vxlan")
    assert own.code == 0, own.stderr


def test_ports_that_cannot_be_listed_are_not_taken_for_free(box: Sandbox) -> None:
    box.install("/usr/local/sbin/ss", "exit 127")
    refused(asked(box), "its ports cannot be listed")


def test_a_host_without_iptables_is_not_refused_since_k3s_brings_its_own(box: Sandbox) -> None:
    box.without("iptables")
    done = asked(box)
    assert done.code == 0, done.stderr
    assert "no iptables on this host: K3s uses its own" in done.stdout


def test_everything_that_is_missing_is_said_at_once(box: Sandbox) -> None:
    (box.home / "wireguard").unlink()
    (box.home / "config").write_text("")
    cgroup(box, "cgroup2fs", "cpu")
    refused(asked(box), "WireGuard", "ip_set", "memory cgroup")


def test_a_firewall_that_lets_the_clusters_networks_through_is_no_obstacle_and_any_other_is_refused(
    box: Sandbox,
) -> None:
    """firewalld is on by default on RHEL and SUSE."""
    (box.home / "is-active-firewalld").touch()
    box.install("/usr/local/sbin/firewall-cmd", '[ "$*" = "--zone=trusted --query-source=10.42.0.0/16" ]')
    done = asked(box)
    refused(done, "firewalld does not let 10.43.0.0/16 of the cluster through", "--add-source=10.43.0.0/16")
    assert "10.42.0.0/16 of the cluster" not in done.stderr
    box.install("/usr/local/sbin/firewall-cmd", '[ "$*" = "--zone=trusted --query-interface=cni0" ]')
    assert asked(box).code == 0


def test_ufw_is_refused_unless_it_is_off_or_has_rules_for_the_clusters_networks(box: Sandbox) -> None:
    def ufw(*lines: str) -> Run:
        box.install("/usr/local/sbin/ufw", "".join(f"echo {line!r}\n" for line in lines))
        return asked(box)

    assert ufw("Status: inactive").code == 0
    refused(ufw("Status: active"), "ufw does not let 10.42.0.0/16", "ufw does not let 10.43.0.0/16")
    rules = [f"Anywhere                   ALLOW       {one}" for one in ("10.42.0.0/16", "10.43.0.0/16")]
    assert ufw("Status: active", "", *rules).code == 0


@pytest.mark.parametrize("unit", ["nm-cloud-setup.service", "nm-cloud-setup.timer"])
def test_a_service_of_rhel_in_clouds_that_takes_away_routes_of_pods_is_refused(box: Sandbox, unit: str) -> None:
    (box.home / f"is-enabled-{unit}").touch()
    refused(asked(box), f"{unit} is enabled", f"systemctl disable {unit}")


_SELINUX = """mount -t tmpfs tmpfs /sys/fs
mkdir /sys/fs/selinux /sys/fs/cgroup
cp "$SANDBOX/controllers" /sys/fs/cgroup/cgroup.controllers
echo {mode} >/sys/fs/selinux/enforce
rpm() {{ return {package}; }}
"""


@pytest.mark.parametrize(
    ("asked_for", "mode", "package", "wrong"),
    [
        (True, 1, 0, ()),
        (True, 0, 0, ("SELinux is permissive",)),
        (True, 1, 1, ("the package k3s-selinux is not installed",)),
        (None, 1, 1, ("the package k3s-selinux is not installed: K3s and its containers would run unconfined",)),
        (None, 1, 0, ()),
        (None, 0, 1, ()),
        (False, 1, 1, ()),
    ],
)
@pytest.mark.parametrize("distribution", ["rhel", "fedora-coreos"])
def test_containers_are_confined_where_the_site_says_so_or_the_host_is_refused(
    box: Sandbox, distribution: Distribution, asked_for: bool | None, mode: int, package: int, wrong: tuple[str, ...]
) -> None:
    os_release = {"rhel": 'ID=rhel\nVERSION_ID="9.6"\n', "fedora-coreos": "ID=fedora\n"}[distribution]
    box.path("/etc/os-release").write_text(os_release)
    which = host(distribution=distribution)
    facts = plan(which, [host_checks(k3s(selinux=asked_for), which, [which])]).facts
    said = box.run(f"set -e\n{BARE_KERNEL}{_SELINUX.format(mode=mode, package=package)}{facts}").stderr
    found = [line for line in said.splitlines() if "SELinux is" in line or "k3s-selinux" in line]
    assert len(found) == len(wrong)
    for line, words in zip(found, wrong, strict=True):
        assert words in line
