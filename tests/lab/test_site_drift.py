"""`edge drift` on real hosts: what was changed by hand is named, looking changes nothing, and `reapply` puts it right.

The tests of each site are one story, in the order in which they stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from edge.cli import app
from lab.cluster import AGENT_TOKEN, SERVER_TOKEN, Cluster, cluster_site
from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.site import Site, lab_site, sessions
from stacks.catalogue import PROJECT_ROOT

# Everything that a script of the project could have touched, with the time of its last change of any kind.
_HELD = "find /etc /opt /usr/local /root /home -xdev -printf '%p %m %C@ %l\\n' | sort; systemctl --no-legend list-units"


def edge_drift(site: Site, *options: str) -> tuple[int, str]:
    """Exit code and standard output of `edge drift` in the site's own project."""
    if not (site.home / "stacks").exists():
        for part in ("stacks", "__main__.py"):
            (site.home / part).symlink_to(PROJECT_ROOT / part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.run.project.project_root", lambda: site.home)
        for name, value in site.variables.items():
            patch.setenv(name, value)
        result = CliRunner().invoke(app, ["drift", str(site.file), *options])
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout


def found(site: Site) -> dict[str, dict[str, str | None]]:
    """Host -> what differs there -> what it is instead. A host that was not reached fails the test."""
    code, printed = edge_drift(site, "--json")
    document = json.loads(printed)
    hosts = {host["host"]: host for host in document["sites"][0]["hosts"]}
    assert not [host["not_reached"] for host in hosts.values() if host["not_reached"]], printed
    assert code == document["exit"] == (1 if document["counts"]["differences"] else 0), printed
    return {
        name: {f"{one['kind']} {one['name']}": one["found"] for one in host["differences"]}
        for name, host in hosts.items()
    }


def change(site: Site, name: str, **fields: Any) -> None:
    """Edit one host of the site file."""
    content = yaml.safe_load(site.file.read_text())
    next(host for host in content["hosts"] if host["name"] == name).update(fields)
    site.file.write_text(yaml.safe_dump(content, sort_keys=False))


def held(host: LabHost) -> str:
    return host.run(_HELD).stdout


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Host b, and c behind it, reached as a user with sudo."""
    with lab_site(lab, tmp_path_factory.mktemp("drift") / "site") as made:
        made.write("b", "c", ssh={"user": "core", "dial_attempts": 3, "dial_timeout_s": 5})
        change(made, "c", via="b")
        made.up()
        yield made


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_site(lab, tmp_path_factory.mktemp("drift-k3s") / "site", hosts=("a",)) as made:
        made.write("a")
        made.site.up()
        yield made


def test_hosts_are_as_planned_once_they_are_up(site: Site) -> None:
    assert found(site) == {"lab-b": {}, "lab-c": {}}


def test_what_was_changed_by_hand_is_named_in_one_session_for_each_host_and_left_as_it_is(site: Site) -> None:
    host = site.lab["c"]
    host.run("sysctl --write vm.overcommit_memory=0; chmod 0600 /etc/sysctl.d/91-edge.conf; hostname elsewhere")
    host.run("echo >>/etc/modules-load.d/edge.conf; rm /etc/sysctl.d/90-kubelet.conf; systemctl stop systemd-timesyncd")
    before = {name: (held(site.lab[name]), sessions(site.lab[name])) for name in ("b", "c")}
    differing = found(site)
    for name, (files, logins) in before.items():
        assert held(site.lab[name]) == files
        assert sessions(site.lab[name]) == logins + 1
    assert differing["lab-b"] == {}
    assert differing["lab-c"].pop("content /etc/modules-load.d/edge.conf")
    assert differing["lab-c"] == {
        "sysctl vm.overcommit_memory": "0",
        "sysctl kernel.hostname": "elsewhere",
        "mode /etc/sysctl.d/91-edge.conf": "0600",
        "content /etc/sysctl.d/90-kubelet.conf": None,
        "one active systemd-timesyncd.service chrony.service": "inactive",
    }


def test_the_remedy_that_is_named_puts_it_right_and_touches_no_other_host(site: Site) -> None:
    _, printed = edge_drift(site, "--json")
    remedy = json.loads(printed)["sites"][0]["remedy"]
    assert remedy["hosts"] == ["c"]
    change(site, "c", reapply=remedy["reapply"])
    assert site.up() == {f"lab-c-{part}": "update" for part in ("reachable", "facts", "base")}
    assert found(site) == {"lab-b": {}, "lab-c": {}}


def test_a_host_that_is_off_is_named_and_the_others_are_looked_at(site: Site) -> None:
    site.lab["b"].run("sysctl --write kernel.panic=0")
    site.lab["c"].power_off()
    try:
        code, printed = edge_drift(site)
    finally:
        site.lab["c"].power_on()
        site.lab["c"].wait_ssh(60)
        site.lab["c"].wait_booted(60)
        site.lab["b"].run("sysctl --write kernel.panic=10")
    assert code == 1
    assert "lab-b  setting kernel.panic  10        0" in printed
    assert "lab-c  not probed: " in printed
    assert "reapply: " in printed
    assert found(site) == {"lab-b": {}, "lab-c": {}}, "a host that was switched off and on is as planned"


def test_another_machine_at_a_hosts_address_is_not_spoken_to(site: Site) -> None:
    before = sessions(site.lab["c"])
    change(site, "c", host_key=site.lab["a"].host_key)
    try:
        code, printed = edge_drift(site)
    finally:
        change(site, "c", host_key=site.lab["c"].host_key)
    assert code == 1
    assert "its host key differs from the one in the site file" in printed
    assert sessions(site.lab["c"]) == before


def test_a_cluster_is_as_planned_once_it_is_up(cluster: Cluster) -> None:
    assert found(cluster.site) == {"lab-a": {}}


def test_what_was_changed_of_k3s_is_named_and_no_secret_is_shown(cluster: Cluster) -> None:
    cluster.host("a").run(
        "echo 'debug: true' >>/etc/rancher/k3s/config.yaml; chmod 0644 /etc/rancher/k3s/token; "
        "systemctl disable --quiet --now k3s; echo >>/usr/local/bin/k3s"
    )
    before = sessions(cluster.host("a"))
    code, printed = edge_drift(cluster.site)
    assert sessions(cluster.host("a")) == before + 1
    assert code == 1
    rows = [line.split() for line in printed.splitlines() if line.startswith("  lab-a")]
    binary, config, mode, *unit = rows
    assert binary[1:3] == ["/usr/local/bin/k3s", cluster.k3s["version"]]
    assert config[1] == "/etc/rancher/k3s/config.yaml"
    assert mode[1:] == ["mode", "of", "/etc/rancher/k3s/token", "0600", "0644"]
    assert unit == [["lab-a", "k3s.service", "active", "inactive"], ["lab-a", "k3s.service", "enabled", "disabled"]]
    assert SERVER_TOKEN not in printed
    assert AGENT_TOKEN not in printed


def test_a_node_that_is_applied_again_is_as_planned_and_ready(cluster: Cluster) -> None:
    change(cluster.site, "a", reapply="again")
    touched = cluster.site.up()
    assert touched == {f"lab-a-{part}": "update" for part in ("reachable", "facts", "base", "k3s", "k3s-member")}
    assert found(cluster.site) == {"lab-a": {}}
    assert cluster.nodes() == {"lab-a": True}
