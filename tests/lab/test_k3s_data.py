"""K3s' data on another disk and snapshots of SQLite, on a real host: mounts and timers of systemd, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.hosts.lab import Lab
from tests.lab.k3s_site import Site, release_on_mirror, uninstalled_at_the_end, wait_for

_SETTINGS = {
    "data_dir": "/var/disk/k3s",
    "datastore": {"kind": "embedded", "sqlite_snapshots": True, "snapshot_dir": "/var/disk/snapshots"},
}
_TAKE = "systemctl start edge-k3s-snapshot.service"

_KILLED = """[Service]
ExecStart=
ExecStart=/bin/bash -c "systemctl kill --signal=STOP k3s.service; kill -KILL $$$$"
"""


@pytest.fixture(scope="module")
def one(lab: Lab) -> Iterator[Site]:
    """A site of one server with its data in another folder of the disk: the lab's root is an overlay, which is no place
    for those of containerd."""
    lab["a"].run("mkdir --parents /var/disk")
    with (
        release_on_mirror(lab) as (authority, mirror, release),
        uninstalled_at_the_end(Site(lab, authority, mirror, release, {"a": "server"}, settings=_SETTINGS)) as site,
    ):
        site.script("a", site.cluster.cluster_init_permit)
        site.install("a")
        site.script("a", site.cluster.ready)
        yield site


def newest(site: Site) -> str:
    return site.host("a").run("ls /var/disk/snapshots/lab-a-*.tar.gz | tail --lines=1").stdout.strip()


def answers(site: Site) -> bool:
    return "ok" in site.kubectl("get", "--raw", "/readyz", check=False)


def test_all_data_is_on_the_other_disk_and_stays_there_over_a_boot(one: Site) -> None:
    host = one.host("a")
    one.kubectl("create", "configmap", "over-a-boot")
    assert host.run("ls /var/disk/k3s/server/db/state.db /var/disk/k3s/agent/containerd").stdout
    host.power_off()
    host.power_on()
    wait_for("the API answers", lambda: answers(one))
    assert host.run("systemctl is-active var-lib-rancher-k3s.mount").stdout.strip() == "active"
    assert "over-a-boot" in one.kubectl("get", "configmaps", "--output", "name")


def test_k3s_does_not_start_while_the_disk_is_missing(one: Site) -> None:
    host = one.host("a")
    host.run("systemctl stop k3s && systemctl stop var-lib-rancher-k3s.mount && mv /var/disk/k3s /var/disk/aside")
    try:
        assert host.run("systemctl start k3s", check=False).returncode != 0
        assert host.run("ls -A /var/lib/rancher/k3s").stdout == ""
    finally:
        host.run("rm -rf /var/disk/k3s && mv /var/disk/aside /var/disk/k3s && systemctl start k3s")
    wait_for("the API answers", lambda: answers(one))


def test_the_first_snapshot_is_there_when_the_script_is_done_and_the_timer_waits(one: Site) -> None:
    assert newest(one)
    assert "edge-k3s-snapshot.timer" in one.host("a").run("systemctl list-timers --no-legend").stdout
    assert one.host("a").run("stat --format=%a /var/disk/snapshots").stdout.strip() == "700"


def test_a_snapshot_is_the_way_back_for_what_was_deleted(one: Site) -> None:
    """As docs/operations.md has it."""
    host = one.host("a")
    one.kubectl("create", "configmap", "precious", "--from-literal=key=value")
    host.run(_TAKE)
    one.kubectl("delete", "configmap", "precious")
    host.run(
        "set -e; systemctl stop k3s; cd /var/lib/rancher/k3s/server/db; mkdir aside; mv state.db* aside; "
        f"tar --extract --gzip --file={newest(one)}; systemctl start k3s"
    )
    wait_for("the API answers", lambda: answers(one))
    assert one.kubectl("get", "configmap", "precious", "--output", "jsonpath={.data.key}") == "value"


def test_k3s_runs_on_where_a_snapshot_was_killed_while_it_held_k3s(one: Site) -> None:
    host = one.host("a")
    pid = host.run("systemctl show --property=MainPID --value k3s").stdout.strip()
    folder = "/run/systemd/system/edge-k3s-snapshot.service.d"
    host.run(f"mkdir --parents {folder} && cat >{folder}/90-test.conf && systemctl daemon-reload", stdin=_KILLED)
    try:
        assert host.run(_TAKE, check=False).returncode != 0
    finally:
        host.run(f"rm -r {folder}; systemctl daemon-reload")
    assert host.run(f"sed 's/^.*) //' /proc/{pid}/stat").stdout[0] not in "Tt"
    wait_for("the API answers", lambda: answers(one))


def test_uninstalling_leaves_the_snapshots_and_nothing_else(one: Site) -> None:
    one.uninstall()
    one.installed.clear()
    host = one.host("a")
    assert newest(one)
    left = "ls -d /var/disk/k3s /etc/systemd/system/*k3s* /var/lib/rancher 2>/dev/null | cat"
    assert host.run(left).stdout == ""
    assert "rancher" not in host.run("cat /proc/self/mounts").stdout
