"""What K3s is told on each host, as values: exact files by golden, and the promises that hold for any site."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components.host.machine import Machine
from components.host.plan import plan as host_plan
from components.k3s import arguments, hardening
from components.k3s.plan import (
    encryption_provider,
    files,
    host_checks,
    plan_cluster,
    plan_node,
    registries,
    server_config,
)
from components.k3s.spec import K3sSpec
from components.shell import as_root
from tests.components.site_parts import AGENT, SERVERS, k3s, machine

HA = k3s(api_address="10.0.0.10")


def config_of(spec: K3sSpec, which: Machine, servers: list[Machine]) -> dict[str, object]:
    _, text = files(spec, which, servers, {}, ())["/etc/rancher/k3s/config.yaml"]
    loaded: dict[str, object] = yaml.safe_load(text)
    return loaded


@pytest.mark.parametrize(("variant", "servers"), [("ha", SERVERS), ("one", SERVERS[:1])])
def test_rendered_files_and_scripts_are_as_reviewed(
    variant: str, servers: list[Machine], golden: Callable[[str, str], None]
) -> None:
    spec = HA if variant == "ha" else k3s()
    cluster = plan_cluster(spec, servers)
    for name, text in {"birth": cluster.cluster_init_permit, "ready": cluster.ready}.items():
        golden(f"k3s/{variant}/cluster-{name}.sh", text)
    golden(f"k3s/{variant}/cluster-kubeconfig.sh", cluster.kubeconfig)
    for which in (servers[0], AGENT):
        planned = plan_node(spec, which, servers, labels={"region": "eu"}, psa_exempt=["azure-arc"])
        for name, text in {
            "facts": host_plan(which, [host_checks(spec, which, servers)]).facts,
            "install": planned.install,
            "same": planned.same_installation,
            "uninstall": planned.uninstall,
            "admit": planned.forget_old_node,
            "member": planned.wait_ready,
            "remove": planned.remove,
        }.items():
            golden(f"k3s/{variant}/{which.node}-{name}.sh", text)


def test_uninstalling_does_not_kill_the_shell_that_runs_it() -> None:
    script = plan_node(HA, AGENT, SERVERS, labels={}).uninstall
    (pattern,) = re.findall(r"^pkill -KILL -f '([^']*)'", script, re.MULTILINE)
    assert re.search(pattern, "/var/lib/rancher/k3s/data/0123abc/bin/containerd-shim-runc-v2 -namespace k8s.io")
    assert not re.search(pattern, as_root(script, "core")), "the script is on that shell's command line"


def test_traefik_and_servicelb_are_disabled_on_every_server() -> None:
    for server in SERVERS:
        assert config_of(HA, server, SERVERS)["disable"] == ["traefik", "servicelb"]


def test_nodes_and_their_pods_talk_by_the_network_card_that_the_site_names() -> None:
    config = config_of(HA, replace(SERVERS[0], interface="eno2"), SERVERS)
    assert (config["flannel-iface"], config["node-ip"]) == ("eno2", "10.0.0.11")
    assert "flannel-iface" not in config_of(HA, SERVERS[0], SERVERS)


def test_settings_that_all_servers_must_share_are_equal() -> None:
    shared = ("cluster-cidr", "service-cidr", "disable", "secrets-encryption", "flannel-backend", "embedded-registry")
    spec = k3s(api_address="10.0.0.10", embedded_registry=True)
    assert len({str([config_of(spec, server, SERVERS)[key] for key in shared]) for server in SERVERS}) == 1


def test_no_configuration_file_can_found_a_cluster() -> None:
    for server in SERVERS:
        assert "cluster-init" not in config_of(HA, server, SERVERS)
        assert "server" not in config_of(HA, server, SERVERS)


def test_an_agent_joins_by_the_address_that_outlives_the_first_server() -> None:
    assert config_of(HA, AGENT, SERVERS)["server"] == "https://10.0.0.10:6443"


def test_an_agent_gets_the_kubelet_flags_and_none_of_the_control_plane() -> None:
    config = config_of(HA, AGENT, SERVERS)
    assert config["kubelet-arg"] == list(hardening.kubelet_args(4096))
    assert not [key for key in config if key.startswith("kube-apiserver") or key == "tls-san"]
    assert config["token-file"] == "/etc/rancher/k3s/agent-token", "an agent must not hold the servers' token"


@pytest.mark.parametrize(
    ("version", "fields", "flags"),
    [
        ("v1.36.3+k3s1", {}, []),
        ("v1.36.3+k3s1", {"fail_cgroup_v1": False}, ["fail-cgroupv1=false"]),
        ("v1.31.0+k3s1", {"fail_cgroup_v1": False}, ["fail-cgroupv1=false"]),
        ("v1.30.12+k3s1", {"fail_cgroup_v1": False}, []),
    ],
)
def test_a_site_may_run_on_cgroup_v1_where_the_release_would_refuse_it(
    version: str, fields: dict[str, object], flags: list[str]
) -> None:
    spec = k3s(version=version, releases={version: {"amd64": "a" * 64}}, **fields)
    for which in (SERVERS[0], AGENT):
        arguments = config_of(spec, which, SERVERS[:1])["kubelet-arg"]
        assert isinstance(arguments, list)
        assert [flag for flag in arguments if "cgroup" in flag] == flags


def test_a_disabled_component_is_one_beside_those_that_never_run() -> None:
    spec = k3s(disable=["servicelb", "metrics-server"])
    assert config_of(spec, SERVERS[0], SERVERS[:1])["disable"] == ["traefik", "servicelb", "metrics-server"]


def test_a_hosts_taint_replaces_the_sites_of_the_same_key_and_effect() -> None:
    spec = k3s(taints=["dedicated=edge:NoSchedule", "line=3:PreferNoSchedule"])
    tainted = machine("d", "10.0.0.14", role="agent", taints=["dedicated=vision:NoSchedule"])
    assert config_of(spec, AGENT, SERVERS)["node-taint"] == list(spec.taints or ())
    assert config_of(spec, tainted, SERVERS)["node-taint"] == [
        "dedicated=vision:NoSchedule",
        "line=3:PreferNoSchedule",
    ]


def test_taints_are_set_on_the_node_only_where_a_site_speaks_of_them() -> None:
    """K3s sets them at registration only. A site that says nothing runs the script that it ran before."""
    silent, none, one = (
        plan_node(HA.model_copy(update={"taints": taints}), AGENT, SERVERS, labels={}).wait_ready
        for taints in (None, (), ("a=b:NoExecute",))
    )
    assert "taint" not in silent
    assert "wanted=()" in none
    assert "wanted=(a=b:NoExecute)" in one


def test_arguments_of_a_site_stand_after_those_of_the_benchmark_and_replace_none() -> None:
    spec = k3s(
        kubelet_args=["max-pods=60"],
        kube_apiserver_args=["goaway-chance=0.001"],
        kube_controller_manager_args=["node-monitor-grace-period=2m"],
        kube_scheduler_args=["kube-api-qps=50"],
    )
    server, agent = config_of(spec, SERVERS[0], SERVERS[:1]), config_of(spec, AGENT, SERVERS[:1])
    assert server["kubelet-arg"] == agent["kubelet-arg"] == [*hardening.kubelet_args(4096), "max-pods=60"]
    assert server["kube-apiserver-arg"] == [*hardening.API_SERVER_ARGS, "goaway-chance=0.001"]
    assert server["kube-controller-manager-arg"] == [
        *hardening.CONTROLLER_MANAGER_ARGS,
        "node-monitor-grace-period=2m",
    ]
    assert server["kube-scheduler-arg"] == ["kube-api-qps=50"]
    assert not [key for key in agent if key.startswith("kube-")]


def test_every_argument_of_the_benchmark_is_refused_as_one_of_a_site() -> None:
    ours = {
        "kubelet_args": hardening.kubelet_args(4096),
        "kube_apiserver_args": hardening.API_SERVER_ARGS,
        "kube_controller_manager_args": hardening.CONTROLLER_MANAGER_ARGS,
    }
    for field, hardened in ours.items():
        assert [one.path for one in arguments.findings({field: hardened}, ("k3s",))] == [
            ("k3s", field, index) for index in range(len(hardened))
        ]


@pytest.mark.parametrize("field", arguments.FIELDS)
@pytest.mark.parametrize("argument", ["v=2", "vmodule=kubelet=4", "logging-format=json", "log-flush-frequency=1s"])
def test_no_program_may_log_otherwise_than_the_others_in_the_same_process(field: str, argument: str) -> None:
    """Seen on the real K3s: it ends by itself again and again."""
    (refused,) = arguments.findings({field: [argument]}, ("k3s",))
    assert refused.path == ("k3s", field, 0)
    assert "log" in refused.what


@pytest.mark.parametrize(
    ("server", "seeds"), [(0, "10.0.0.12 10.0.0.13 10.0.0.10"), (1, "10.0.0.11 10.0.0.13 10.0.0.10")]
)
def test_a_server_joins_through_the_addresses_of_others_before_the_one_they_share(server: int, seeds: str) -> None:
    assert f"for seed in {seeds};" in plan_node(HA, SERVERS[server], SERVERS, labels={}).install


def test_a_server_that_is_added_changes_nothing_on_the_others() -> None:
    before = [plan_node(HA, server, SERVERS, labels={}) for server in SERVERS]
    more = [*SERVERS, machine("e", "10.0.0.15"), machine("f", "10.0.0.16")]
    assert [plan_node(HA, server, more, labels={}) for server in SERVERS] == before


def test_a_version_for_one_host_changes_that_host_alone() -> None:
    trial = machine("b", "10.0.0.12", k3s_version="v1.37.1+k3s1")
    servers = [SERVERS[0], trial, SERVERS[2]]
    plans = [plan_node(HA, server, servers, labels={}) for server in servers]
    assert "v1.37.1%2Bk3s1/k3s" in plans[1].install
    assert [plans[0], plans[2]] == [plan_node(HA, server, SERVERS, labels={}) for server in (SERVERS[0], SERVERS[2])]


def test_an_architecture_takes_its_own_binary_and_checksum() -> None:
    arm = machine("x", "10.0.0.9", figures={"arch": "arm64"})
    script = plan_node(k3s(), arm, [arm], labels={}).install
    assert f"v1.36.3%2Bk3s1/k3s-arm64 {'b' * 64}" in script


def test_a_read_only_usr_gets_its_binaries_below_opt() -> None:
    assert "/opt/bin/k3s 0755" in plan_node(HA, SERVERS[0], SERVERS, labels={}).install
    coreos = machine("x", "10.0.0.9", distribution="fedora-coreos")
    assert "/usr/local/bin/k3s 0755" in plan_node(k3s(), coreos, [coreos], labels={}).install


def test_an_external_datastore_is_asked_for_on_standard_input_only() -> None:
    spec = k3s(api_address="10.0.0.10", datastore={"kind": "external", "engine": "postgresql"})
    script = plan_node(spec, SERVERS[1], SERVERS, labels={}).install
    assert "read_secret datastore_endpoint" in script
    assert "datastore-endpoint" not in server_config(spec, SERVERS[1], SERVERS)
    assert "birth" not in script, "every server of an external datastore is equal"


def test_admission_has_a_stanza_for_each_plugin_that_needs_one() -> None:
    admission = hardening.admission(["kube-system"])
    assert [plugin["name"] for plugin in admission["plugins"]] == ["PodSecurity", "EventRateLimit"]
    exemptions = admission["plugins"][0]["configuration"]["exemptions"]
    assert exemptions["namespaces"] == ["kube-system"]


@pytest.mark.parametrize(
    ("version", "provider"),
    [
        ("v1.29.9+k3s1", "aescbc"),
        ("v1.30.11+k3s1", "aescbc"),
        ("v1.30.12+k3s1", "secretbox"),
        ("v1.31.7+k3s1", "aescbc"),
        ("v1.32.4-rc1+k3s1", "secretbox"),
        ("v1.36.3+k3s1", "secretbox"),
    ],
)
def test_secrets_are_encrypted_with_the_best_provider_of_the_release(version: str, provider: str) -> None:
    assert encryption_provider(version) == provider


def test_spegel_gets_the_mirror_entry_without_which_it_serves_nothing() -> None:
    assert registries(k3s(embedded_registry=True)) == {"mirrors": {"*": {}}}
    assert registries(k3s()) == {"mirrors": {}}


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]), min_size=1, max_size=7, unique=True))
def test_a_server_is_never_its_own_seed(names: list[str]) -> None:
    servers = [machine(name, f"10.0.0.{ord(name)}") for name in names]
    spec = k3s(api_address="10.0.0.10" if len(servers) > 1 else None)
    for server in servers:
        script = plan_node(spec, server, servers, labels={}).install
        seeds = [line for line in script.splitlines() if line.strip().startswith("for seed in")]
        assert all(server.node_address not in line.split() for line in seeds)
