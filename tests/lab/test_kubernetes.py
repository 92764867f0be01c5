"""The scripts of components/k3s on real hosts, with the lab's k3s: what a rendered file promises, a cluster does.

One server and an agent. Everything is installed by the component's own rendered scripts, over the lab's mirror.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from tests.lab.k3s_site import READY, Site, release_on_mirror, uninstalled_at_the_end, wait_for
from tests.lab.k3s_unit import Unit
from tests.lab.probe_pod import pod


@pytest.fixture(scope="module")
def one(lab: Lab) -> Iterator[Site]:
    """A site of one server, a, and an agent, b."""
    with (
        release_on_mirror(lab) as (authority, mirror, release),
        uninstalled_at_the_end(Site(lab, authority, mirror, release, {"a": "server", "b": "agent"})) as site,
    ):
        site.script("a", site.cluster.cluster_init_permit)
        site.install("a")
        site.install("b")
        site.script("a", site.plan("b").wait_ready)
        site.script("a", site.cluster.ready)
        yield site


def test_a_site_comes_up_by_the_rendered_scripts_alone(one: Site) -> None:
    nodes = one.get("nodes")["items"]
    assert isinstance(nodes, list)
    ready = {
        node["metadata"]["name"]: condition["status"]
        for node in nodes
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    }
    assert ready == {"lab-a": "True", "lab-b": "True"}
    assert all(node["metadata"]["labels"]["site"] == "lab" for node in nodes)


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_second_run_of_the_same_script_changes_nothing(one: Site, name: str) -> None:
    before = one.host(name).run("systemctl show --property MainPID 'k3s*'").stdout
    assert "changed" not in one.install(name)
    assert one.host(name).run("systemctl show --property MainPID 'k3s*'").stdout == before


def test_the_programs_run_with_the_flags_that_the_configuration_hardens(one: Site) -> None:
    server = Unit(one.host("a"))
    flags = server.flags("kube-apiserver")
    assert "enable-admission-plugins=NodeRestriction,EventRateLimit,DenyServiceExternalIPs" in flags
    assert {"audit-log-maxage=30", "anonymous-auth=false"} <= flags
    assert any(flag.startswith("encryption-provider-config=") for flag in flags)
    assert "terminated-pod-gc-threshold=100" in server.flags("kube-controller-manager")
    said = json.loads(one.kubectl("get", "--raw", "/api/v1/nodes/lab-a/proxy/configz"))["kubeletconfig"]
    assert (said["podPidsLimit"], said["protectKernelDefaults"]) == (4096, True)
    assert said["streamingConnectionIdleTimeout"] == "5m0s"


def test_secrets_are_not_readable_in_the_datastore(one: Site) -> None:
    one.kubectl("create", "secret", "generic", "precious", "--from-literal=key=not-to-be-found")
    files = "cat /var/lib/rancher/k3s/server/db/state.db*"
    assert one.host("a").run(f"{files} | grep -ac precious").stdout.strip() != "0", "the Secret is there"
    found = one.host("a").run(f"{files} | grep -ac not-to-be-found", check=False).stdout.strip()
    assert found == "0", "its content is encrypted"


def test_keys_and_the_kubeconfig_are_roots_alone(one: Site) -> None:
    loose = one.host("a").run(
        "find /etc/rancher /var/lib/rancher/k3s/server/tls /var/lib/rancher/k3s/server/cred -type f -perm /077"
    )
    assert loose.stdout == ""


def test_every_request_to_the_api_is_in_the_audit_log(one: Site) -> None:
    one.kubectl("get", "namespaces")
    log = one.host("a").run('grep -c \'"resource":"namespaces"\' /var/lib/rancher/k3s/server/logs/audit.log')
    assert int(log.stdout) > 0


def test_what_system_namespaces_get_is_there(one: Site) -> None:
    for namespace in ("kube-system", "kube-public", "kube-node-lease", "default"):
        one.kubectl("get", "networkpolicy", "edge-intra-namespace", "--namespace", namespace)
    account = one.get("serviceaccount", "default", "--namespace", "default")
    assert account["automountServiceAccountToken"] is False


def test_a_privileged_pod_is_refused(one: Site) -> None:
    done = one.host("a").run(
        "k3s kubectl apply --filename -", stdin=pod("mighty", host="a", privileged=True), check=False
    )
    assert 'violates PodSecurity "restricted:latest"' in done.stderr


def test_pods_of_two_hosts_reach_each_other_by_address_and_by_name(one: Site) -> None:
    one.kubectl("apply", "--filename", "-", stdin=pod("server-b", host="b"))
    one.kubectl("wait", "--for=condition=Ready", "pod/server-b", "--timeout=60s")
    one.kubectl("expose", "pod", "server-b", "--port=80", "--target-port=8080")
    address = one.kubectl("get", "pod", "server-b", "--output", "jsonpath={.status.podIP}")
    one.kubectl("apply", "--filename", "-", stdin=pod("server-a", host="a"))
    one.kubectl("wait", "--for=condition=Ready", "pod/server-a", "--timeout=60s")
    own = one.kubectl("get", "pod", "server-a", "--output", "jsonpath={.status.podIP}")

    def said(url: str) -> str:
        return one.kubectl("exec", "server-a", "--", "/probe", "get", url, check=False)

    # The first connections of a fresh pod are refused, until policies know its address.
    wait_for("the pod may connect", lambda: said(f"http://{address}:8080") != "")
    for url in (f"http://{address}:8080", "http://server-b.default.svc.cluster.local"):
        assert said(url).startswith(f"server-b saw {own}:"), "pods see each other's own addresses"


def test_a_command_runs_in_a_pod_of_another_host(one: Site) -> None:
    one.kubectl("apply", "--filename", "-", stdin=pod("entered", host="b"))
    one.kubectl("wait", "--for=condition=Ready", "pod/entered", "--timeout=60s")
    assert "10.43.0.1" in one.kubectl(
        "exec", "entered", "--", "/probe", "resolve", "kubernetes.default.svc.cluster.local"
    )


def test_the_servers_kubeconfig_works_from_outside(one: Site) -> None:
    kubeconfig = one.script("a", one.cluster.kubeconfig)
    assert f"https://{one.host('a').address}:6443" in kubeconfig
    said = one.host("b").run(
        "cat >/run/outside && KUBECONFIG=/run/outside k3s kubectl get nodes --output name; rm -f /run/outside",
        stdin=kubeconfig,
    )
    assert said.stdout.split() == ["node/lab-a", "node/lab-b"]


def test_another_machine_of_the_same_name_is_refused_until_the_node_is_forgotten(one: Site) -> None:
    agent = one.host("b")
    agent.run("systemctl stop k3s-agent && echo another >/etc/rancher/node/password && systemctl start k3s-agent")
    wait_for(
        "the node is refused",
        lambda: "Node password rejected" in agent.run("journalctl --unit k3s-agent --output cat --since -60s").stdout,
    )
    wait_for(
        "the node is not Ready",
        lambda: "True" not in one.kubectl("get", "node", "lab-b", "--output", READY),
        seconds=180,
    )
    one.script("a", one.plan("b").forget_old_node)
    one.script("a", one.plan("b").wait_ready)


def test_the_only_server_that_lost_its_data_founds_no_second_cluster(one: Site) -> None:
    a = one.host("a")
    a.run("systemctl stop k3s && mv /var/lib/rancher/k3s/server/db /var/lib/rancher/k3s/server/db.aside")
    try:
        with pytest.raises(Exception, match="this was the only server and its datastore is gone"):
            one.install("a")
    finally:
        a.run("mv /var/lib/rancher/k3s/server/db.aside /var/lib/rancher/k3s/server/db")
        one.install("a")
        one.script("a", one.cluster.ready)


def test_a_host_that_leaves_is_drained_and_clean(one: Site) -> None:
    one.script("a", one.plan("b").remove)
    assert one.kubectl("get", "nodes", "--output", "name").split() == ["node/lab-a"]
    one.script("b", one.plan("b").uninstall)
    one.installed.remove("b")
    assert leftovers(one.host("b")) == ""


def leftovers(host: LabHost) -> str:
    """Files, mounts, processes, links, namespaces and firewall rules that K3s would have left."""
    return host.run(
        """
        ls -d /etc/rancher/{k3s,node} /var/lib/rancher/k3s /run/k3s /var/lib/kubelet /usr/local/bin/{k3s,kubectl,ctr} \
          /etc/systemd/system/k3s* 2>/dev/null
        grep -E ' (/run/k3s|/var/lib/kubelet|/var/lib/rancher|/run/netns/cni-)' /proc/self/mounts
        pgrep --list-full -f '^/usr/local/bin/k3s|^/var/lib/rancher|^/(probe|pause|coredns)'
        ip -brief link | grep -E 'cni0|flannel|veth'
        ip route | grep -F '10.42.'
        ip netns list
        iptables-save | grep -E 'KUBE-|CNI-|FLANNEL'
        true
        """
    ).stdout
