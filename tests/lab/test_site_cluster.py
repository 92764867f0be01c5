"""A site's Kubernetes on real hosts: K3s' own way of installing, joining, changing, leaving and coming back.

The program and its scripts are the project's; Kubernetes is upstream's in the lab's `k3s`, which `lab/README.md`
describes. The tests are one story, in the order in which they stand.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.k3s import hardening
from lab.cluster import AGENT_TOKEN, SERVER_TOKEN, Cluster, cluster_site
from lab.hosts.lab import Lab
from lab.hosts.system import wait_until
from lab.kubernetes.build import NEXT, VERSION
from lab.site import sessions


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_site(lab, tmp_path_factory.mktemp("cluster") / "site", coming=[NEXT]) as made:
        yield made


def test_a_server_and_an_agent_come_up_and_are_ready(cluster: Cluster) -> None:
    cluster.write("a", agents=("b",))
    cluster.site.up()
    assert cluster.nodes() == {"lab-a": True, "lab-b": True}


def test_a_second_up_changes_nothing_and_visits_nobody(cluster: Cluster) -> None:
    before = [sessions(cluster.host(name)) for name in ("a", "b")]
    assert cluster.site.up() == {}
    assert [sessions(cluster.host(name)) for name in ("a", "b")] == before


def test_the_running_programs_carry_the_hardening_that_was_rendered(cluster: Cluster) -> None:
    lines = cluster.host("a").run("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'").stdout.splitlines()
    shown = {line.removeprefix("--") for line in lines}
    wanted = {
        *hardening.API_SERVER_ARGS,
        *hardening.CONTROLLER_MANAGER_ARGS,
        *hardening.kubelet_args(4096),
    }
    assert not wanted - shown


def test_no_token_is_on_a_command_line_or_in_a_log(cluster: Cluster) -> None:
    for name in ("a", "b"):
        shown = cluster.host(name).run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; journalctl --no-pager").stdout
        assert SERVER_TOKEN not in shown
        assert AGENT_TOKEN not in shown


def test_no_default_account_of_kubernetes_own_namespaces_has_a_token(cluster: Cluster) -> None:
    # CIS 5.1.5. The control plane applies what K3s finds in its folder of manifests.
    each = "'jsonpath={range .items[*]}{.metadata.namespace}={.automountServiceAccountToken} {end}'"
    where = ("get", "serviceaccounts", "--all-namespaces", "--field-selector", "metadata.name=default")

    def without_token() -> bool:
        said = cluster.kubectl(*where, "--output", each).split()
        return len(said) >= 4 and all(account.endswith("=false") for account in said)

    wait_until(without_token, "default accounts without a token", deadline_s=60)


def test_a_pod_that_names_no_seccomp_profile_is_confined(cluster: Cluster) -> None:
    # CIS 4.2.14. CoreDNS' manifest names none, and kube-system takes it as it is.
    profile = "'jsonpath={.spec.template.spec.securityContext}{.spec.template.spec.containers[*].securityContext}'"
    named = cluster.kubectl("--namespace", "kube-system", "get", "deployment", "coredns", "--output", profile)
    assert "seccomp" not in named
    confined = cluster.host("a").run(
        "for pid in $(pgrep coredns); do grep -H '^Seccomp:' /proc/$pid/status; done; "
        "kubectl --namespace kube-system get pods --output wide"
    )
    assert "Seccomp:\t2" in confined.stdout, confined.stdout


def test_an_agent_that_is_added_is_all_that_changes(cluster: Cluster) -> None:
    cluster.write("a", agents=("b", "c"))
    touched = cluster.site.up()
    assert set(touched.values()) == {"create"}, touched
    assert all(name.startswith("lab-c") for name in touched), touched
    assert cluster.nodes() == {"lab-a": True, "lab-b": True, "lab-c": True}


def test_an_agent_that_leaves_is_forgotten_and_clean(cluster: Cluster) -> None:
    cluster.write("a", agents=("b",))
    touched = cluster.site.up()
    assert set(touched.values()) == {"delete"}, touched
    assert cluster.nodes() == {"lab-a": True, "lab-b": True}
    assert cluster.left("c") == set()


def test_a_reimaged_agent_comes_back_under_its_name(cluster: Cluster) -> None:
    cluster.reimage("b")
    cluster.write("a", agents=("b",))
    cluster.site.up()
    assert cluster.nodes() == {"lab-a": True, "lab-b": True}
    assert cluster.host("b").run("hostname").stdout.strip() == "lab-b"


def test_a_changed_setting_is_applied_in_place(cluster: Cluster) -> None:
    cluster.k3s["pod_max_pids"] = 2048
    cluster.write("a", agents=("b",))
    touched = cluster.site.up()
    assert set(touched.values()) == {"update"}, touched
    for name in ("a", "b"):
        shown = cluster.host(name).run("tr '\\0' '\\n' </proc/$(pgrep --oldest --full 'k3s kubelet')/cmdline").stdout
        assert "--pod-max-pids=2048" in shown.splitlines()


def test_a_new_kubernetes_goes_to_the_server_first_and_to_the_agent_later_while_containers_run_on(
    cluster: Cluster,
) -> None:
    def running() -> str:
        started = "{range .items[*].status.containerStatuses[*]}{.containerID} {.state.running.startedAt};{end}"
        return cluster.kubectl("get", "pods", "--all-namespaces", "--output", f"'jsonpath={started}'")

    def versions() -> list[str]:
        each = "'jsonpath={.items[*].status.nodeInfo.kubeletVersion}'"
        return cluster.kubectl("get", "nodes", "--output", each).split()

    before = running()
    assert before
    cluster.k3s["version"] = NEXT
    for later, wanted in ({"b": {"k3s_version": VERSION}}, [NEXT, VERSION]), ({}, [NEXT, NEXT]):
        cluster.write("a", agents=("b",), of_host=later)
        touched = cluster.site.up()
        assert set(touched.values()) == {"update"}, touched
        assert versions() == wanted
        assert cluster.nodes() == {"lab-a": True, "lab-b": True}
    assert running() == before
    assert cluster.site.up() == {}


def test_destroy_leaves_clean_hosts(cluster: Cluster) -> None:
    cluster.site.destroy()
    assert cluster.left("a") == set()
    assert cluster.host("b").run("ls /etc/rancher /var/lib/rancher 2>/dev/null | cat").stdout == ""
