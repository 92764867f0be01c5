"""One server and an agent of the lab's K3s against what the real one was seen to do: each test is a row of the table in
lab/README.md. They hold the stand-in, not the component: settings are changed beside the component's scripts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.hosts.lab import Lab
from tests.lab.k3s_site import Site, release_on_mirror, uninstalled_at_the_end, wait_for
from tests.lab.k3s_unit import Unit

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


def test_a_restart_amid_automatic_restarts_keeps_their_count(one: Site) -> None:
    server = Unit(one.host("a"))
    with server.told({"token-file": "/no/such/file"}):
        wait_for("it was started twice by itself", lambda: server.restarts >= 2)
        wait_for("it waits for the next start", lambda: server.show("SubState") == "auto-restart")
        server.host.run("systemctl restart --no-block k3s")
        assert server.restarts >= 2
    wait_for("the node is ready", lambda: ready(one, "lab-a"))
