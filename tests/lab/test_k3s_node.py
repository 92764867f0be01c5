"""One server and an agent of the lab's K3s against what the real one was seen to do: each test is a row of the table in
lab/README.md. They hold the stand-in, not the component: settings are changed beside the component's scripts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.hosts.lab import Lab
from tests.lab.k3s_site import AGENT_TOKEN, TOKEN, Site, release_on_mirror, uninstalled_at_the_end, wait_for
from tests.lab.k3s_unit import Unit
from tests.lab.probe_pod import pod

# The kubelet of the component's configuration, without what lets it run on cgroup v1.
_STRICT = {"kubelet-arg": ["pod-max-pids=4096"]}
_NO_WIREGUARD = "could not create wireguard interface: operation not supported"


@pytest.fixture(scope="module")
def one(lab: Lab) -> Iterator[Site]:
    """A server, a, and an agent, b."""
    with (
        release_on_mirror(lab) as (authority, mirror, release),
        uninstalled_at_the_end(Site(lab, authority, mirror, release, {"a": "server", "b": "agent"})) as site,
    ):
        site.script("a", site.cluster.cluster_init_permit)
        site.install("a")
        site.install("b")
        site.script("a", site.plan("b").wait_ready)
        yield site


def answers(site: Site, on: str = "a") -> bool:
    return "ok" in site.kubectl("get", "--raw", "/readyz", on=on, check=False)


def ready(site: Site, node: str) -> bool:
    conditions = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    return site.kubectl("get", "node", node, "--output", conditions, check=False) == "True"


def test_the_components_configuration_has_no_key_that_k3s_would_skip(one: Site) -> None:
    for unit in (Unit(one.host("a")), Unit(one.host("b"), "k3s-agent")):
        assert "Unknown flag" not in unit.host.run(f"journalctl --unit={unit.name} --output=cat --no-pager").stdout


def test_an_unknown_key_is_a_warning(one: Site) -> None:
    server = Unit(one.host("a"))
    with server.told({"no-such-setting": "x"}) as mark:
        wait_for("the API answers", lambda: answers(one))
        assert server.said(r"level=warning msg=\"Unknown flag --no-such-setting found in 90-test\.yaml, skipping", mark)
    wait_for("the API answers", lambda: answers(one))


def test_the_servers_folder_is_roots_alone_however_it_was_made(one: Site) -> None:
    server = Unit(one.host("a"))
    server.host.run("chmod 0755 /var/lib/rancher/k3s/server")
    server.restart()
    wait_for("the API answers", lambda: answers(one))
    assert server.host.run("stat --format=%a /var/lib/rancher/k3s/server").stdout.strip() == "700"


def test_the_datastore_of_one_server_has_a_node_password_for_each_node(one: Site) -> None:
    found = one.kubectl("get", "secrets", "--namespace", "kube-system", "--output", "name").split()
    assert {"secret/lab-a.node-password.k3s", "secret/lab-b.node-password.k3s"} <= set(found)


def test_labels_are_added_and_changed_at_a_start_and_never_removed(one: Site) -> None:
    agent = Unit(one.host("b"), "k3s-agent")

    def labels() -> dict[str, str]:
        found = json.loads(one.kubectl("get", "node", "lab-b", "--output", "jsonpath={.metadata.labels}"))
        return {key: value for key, value in found.items() if key in ("site", "first", "second")}

    with agent.told({"node-label": ["site=other", "first=1"]}):
        wait_for("labels are there", lambda: labels() == {"site": "other", "first": "1"})
    wait_for(
        "the old value is back, and the label that is told no more stays",
        lambda: labels() == {"site": "lab", "first": "1"},
    )


@pytest.mark.parametrize("host", ["a", "b"])
def test_labels_that_the_component_no_longer_writes_are_taken_off_the_node(one: Site, host: str) -> None:
    """By the kubelet's own credential on an agent, which the API server lets it do."""

    def labels() -> set[str]:
        found = json.loads(one.kubectl("get", "node", f"lab-{host}", "--output", "jsonpath={.metadata.labels}"))
        return set(found) & {"ring", "line"}

    one.install(host, ring="canary", line="3")
    assert labels() == {"ring", "line"}
    one.install(host, ring="canary")
    assert labels() == {"ring"}
    one.install(host)
    assert labels() == set()


def test_an_agent_with_a_wrong_token_waits(one: Site) -> None:
    agent = Unit(one.host("b"), "k3s-agent")
    with agent.told({"token": "wrong", "token-file": ""}) as mark:
        wait_for("it is refused twice", lambda: sum("not authorized" in line for line in agent.since(mark)) > 1)
        assert (agent.state, agent.restarts) == ("active", 0)
    one.script("a", one.plan("b").wait_ready)


def test_a_short_token_is_trusted_and_k3s_says_so(one: Site) -> None:
    agent = Unit(one.host("b"), "k3s-agent")
    with agent.told({"token": AGENT_TOKEN, "token-file": ""}) as mark:
        agent.wait_said("Cluster CA certificate is not trusted .*, but the token does not include a CA hash", mark)
    one.script("a", one.plan("b").wait_ready)


@pytest.mark.parametrize("which", ["token", "agent-token"])
def test_the_server_keeps_its_tokens_with_the_hash_of_its_ca(one: Site, which: str) -> None:
    digest = one.host("a").run("curl --silent --insecure https://127.0.0.1:6443/cacerts | sha256sum").stdout.split()[0]
    user, secret = {"token": ("server", TOKEN), "agent-token": ("node", AGENT_TOKEN)}[which]
    kept = one.host("a").run(f"cat /var/lib/rancher/k3s/server/{which}").stdout.strip()
    assert kept == f"K10{digest}::{user}:{secret}"


def test_a_token_with_the_hash_is_compared_with_the_ca_that_answers(one: Site) -> None:
    agent = Unit(one.host("b"), "k3s-agent")
    right = one.host("a").run("cat /var/lib/rancher/k3s/server/agent-token").stdout.strip()
    with agent.told({"token": right, "token-file": ""}) as mark:
        one.script("a", one.plan("b").wait_ready)
        assert not agent.said("does not include a CA hash", mark)
    with agent.told({"token": f"K10{'0' * 64}::node:{AGENT_TOKEN}", "token-file": ""}) as mark:
        agent.wait_said("token CA hash does not match the Cluster CA certificate hash", mark)
    one.script("a", one.plan("b").wait_ready)


def test_a_kubelet_that_refuses_cgroup_v1_ends_k3s_after_it_was_ready(one: Site) -> None:
    server = Unit(one.host("a"))
    if server.host.run("stat --file-system --format=%T /sys/fs/cgroup").stdout.strip() == "cgroup2fs":
        pytest.skip("this machine has cgroup v2")
    with server.told(_STRICT) as mark:
        wait_for("systemd starts it again", lambda: server.restarts > 0, seconds=300)
        lines = server.since(mark)
    reason = "Shutdown request received: kubelet exited: .*kubelet is configured to not run on a host using cgroup v1"
    assert server.said(reason, mark)
    assert any("Running kubelet" in line for line in lines)
    wait_for("the node is ready", lambda: ready(one, "lab-a"))


def test_a_missing_wireguard_ends_k3s_after_it_was_ready(one: Site) -> None:
    server = Unit(one.host("a"))
    if server.host.run("ip link add probe type wireguard && ip link delete probe", check=False).returncode == 0:
        pytest.skip("this machine's kernel has WireGuard")
    with server.told({"flannel-backend": "wireguard-native"}) as mark:
        wait_for("systemd was told that it is ready", lambda: server.state == "active")
        wait_for("systemd starts it again", lambda: server.restarts > 0, seconds=300)
        lines = server.since(mark)
    reason = f"Shutdown request received: flannel exited: failed to register flannel network: {_NO_WIREGUARD}"
    at = next(number for number, line in enumerate(lines) if reason in line)
    end = next(number for number, line in enumerate(lines[at:], at) if "Main process exited" in line)
    assert end - at > 20, "what K3s' parts write while they stop is behind the reason"
    wait_for("the node is ready", lambda: ready(one, "lab-a"))


def test_a_restart_amid_automatic_restarts_keeps_their_count(one: Site) -> None:
    server = Unit(one.host("a"))
    with server.told({"token-file": "/no/such/file"}):
        wait_for("it was started twice by itself", lambda: server.restarts >= 2)
        wait_for("it waits for the next start", lambda: server.show("SubState") == "auto-restart")
        server.host.run("systemctl restart --no-block k3s")
        assert server.restarts >= 2
    wait_for("the node is ready", lambda: ready(one, "lab-a"))


def test_a_network_policy_is_enforced_and_a_fresh_pod_waits_for_it(one: Site) -> None:
    """The component's own policy: pods of a namespace reach each other, and others do not reach them."""
    one.kubectl("create", "namespace", "stranger")
    one.kubectl("wait", "--for=create", "serviceaccount/default", "--namespace", "stranger", "--timeout=60s")
    for name, host, namespace in (
        ("guarded", "b", "default"),
        ("inside", "a", "default"),
        ("outside", "a", "stranger"),
    ):
        one.kubectl("apply", "--namespace", namespace, "--filename", "-", stdin=pod(name, host=host))
    for name, namespace in (("guarded", "default"), ("inside", "default"), ("outside", "stranger")):
        one.kubectl("wait", "--namespace", namespace, "--for=condition=Ready", f"pod/{name}", "--timeout=120s")
    address = one.kubectl("get", "pod", "guarded", "--output", "jsonpath={.status.podIP}")

    def said(name: str, namespace: str) -> str:
        ask = f"k3s kubectl exec --namespace {namespace} {name} -- /probe get http://{address}:8080"
        done = one.host("a").run(ask, check=False)
        return done.stdout + done.stderr

    # The policy engine hears of a new pod some seconds after it is Ready. Until then it may let everyone in, or no one.
    wait_for("a stranger is refused", lambda: "connection refused" in said("outside", "stranger"))
    wait_for("a pod of the namespace gets in", lambda: "guarded saw" in said("inside", "default"))
    assert "connection refused" in said("outside", "stranger"), "while the pod's own namespace gets in"


def test_ipset_and_iptables_of_k3s_are_its_own(one: Site) -> None:
    server = one.host("a")
    assert server.run("command -v ipset", check=False).returncode != 0, "the host itself has none"
    found = server.run("cd /var/lib/rancher/k3s/data/*/bin && ls aux && ./ipset list --name").stdout
    assert {"iptables", "iptables-save", "iptables-restore"} <= set(found.split())
    assert "KUBE-" in found, "sets of the network policy controller"
