"""K3s' data on another disk: mounted or K3s does not start, and never in two places."""

from __future__ import annotations

import pytest

from components.host.machine import Machine
from components.host.plan import plan
from components.host.spec import OsSpec
from components.k3s.plan import DATA_MOUNT, host_checks, mount_unit, plan_cluster, plan_node, unit_file
from components.k3s.spec import K3sSpec
from tests.components.k3s.test_scripts import (
    AGENT_STDIN,
    HEALTHZ,
    JOINING,
    STDIN,
    SYSTEMCTL,
    box,
    bundled,
    only_ours_went,
    spec_for,
)
from tests.components.site_parts import AGENT, SERVERS, k3s, machine
from tests.sandbox import Run, Sandbox, needs_root

__all__ = ["box"]

pytestmark = needs_root

DISK = "/var/disk"
MARK = f"{DISK}/k3s/.edge-k3s"


def up(box: Sandbox, node: Machine = SERVERS[0], stdin: str = STDIN, servers: int = 1, **fields: object) -> Run:
    spec = spec_for(box, **{"data_dir": f"{DISK}/k3s", **fields})
    return box.run(plan_node(spec, node, SERVERS[:servers], labels={}).install, stdin=stdin, answers=[HEALTHZ])


@pytest.fixture(autouse=True)
def mounts(box: Sandbox) -> None:
    """What systemd does for the unit."""
    bind = f"mkdir -p /var/lib/rancher/k3s && mount --bind {DISK}/k3s /var/lib/rancher/k3s"
    box.install("/usr/local/sbin/systemctl", f'case $* in "start "*.mount) {bind} ;; esac\n{SYSTEMCTL}')


@pytest.fixture
def one(box: Sandbox) -> Sandbox:
    """An only server that is up."""
    assert box.run(plan_cluster(spec_for(box), SERVERS[:1]).cluster_init_permit).code == 0
    ran = up(box)
    assert ran.code == 0, ran.stderr
    return box


def wrote(box: Sandbox, path: str) -> None:
    box.path(path).parent.mkdir(parents=True, exist_ok=True)
    box.path(path).write_text("theirs")


def test_the_data_is_mounted_before_anything_is_written_below_it(one: Sandbox) -> None:
    assert one.path(DATA_MOUNT).read_text() == mount_unit(f"{DISK}/k3s")
    assert one.path(f"{DISK}/k3s/server/manifests").is_dir()
    assert not list(one.path("/var/lib/rancher/k3s").iterdir())
    assert one.path(MARK).is_file()
    again = up(one)
    assert (again.code, [call for call in again.calls if " restart " in call]) == (0, [])


def test_k3s_does_not_start_without_the_disk() -> None:
    assert "\nRequiresMountsFor=/var/lib/rancher/k3s\n" in unit_file(True, "/opt/bin", on_other_disk=True)
    assert f"\nAssertPathExists={MARK}\n" in mount_unit(f"{DISK}/k3s"), "an empty folder is not the disk"


def test_a_disk_that_is_gone_is_not_begun_anew(one: Sandbox) -> None:
    one.path(MARK).unlink()
    ran = up(one)
    assert ran.code == 1
    assert "mount its disk" in ran.stderr
    assert not one.path(MARK).exists()


@pytest.mark.parametrize("now", [None, "/var/other/k3s"])
def test_the_data_does_not_move(one: Sandbox, now: str | None) -> None:
    ran = up(one, data_dir=now)
    assert ran.code == 1
    assert "does not move" in ran.stderr
    assert "Nothing was changed" in ran.stderr


def test_the_data_of_a_host_that_has_it_in_the_usual_place_does_not_move(box: Sandbox) -> None:
    assert box.run(plan_cluster(spec_for(box), SERVERS[:1]).cluster_init_permit).code == 0
    assert up(box, data_dir=None).code == 0
    assert "is in /var/lib/rancher/k3s here" in up(box).stderr


def test_data_of_an_earlier_installation_is_left_alone(box: Sandbox) -> None:
    for node, stdin in ((SERVERS[0], JOINING), (AGENT, AGENT_STDIN)):
        wrote(box, f"{DISK}/k3s/agent/kubelet.kubeconfig")
        ran = up(box, node, stdin, servers=3)
        assert ran.code == 1
        assert "is not empty" in ran.stderr
        assert box.path(f"{DISK}/k3s/agent/kubelet.kubeconfig").read_text() == "theirs"


def test_an_only_server_goes_on_with_the_datastore_of_its_disk(box: Sandbox) -> None:
    wrote(box, f"{DISK}/k3s/server/db/state.db")
    ran = up(box)
    assert ran.code == 0, ran.stderr


def test_uninstalling_empties_the_folder_and_nothing_beside_it(one: Sandbox) -> None:
    wrote(one, f"{DISK}/k3s/server/db/state.db")
    wrote(one, f"{DISK}/photos/a.jpg")
    script = plan_node(spec_for(one, data_dir=f"{DISK}/k3s"), SERVERS[0], SERVERS[:1], labels={}).uninstall
    assert one.run(script).code == 0
    assert not one.path(f"{DISK}/k3s").exists()
    assert one.path(f"{DISK}/photos/a.jpg").exists()
    assert not one.path(DATA_MOUNT).exists()


def test_rules_and_sets_go_before_the_disk_with_the_tools_is_unmounted(one: Sandbox) -> None:
    bundled(one, f"{DISK}/k3s")
    spec = spec_for(one, data_dir=f"{DISK}/k3s")
    script = plan_node(spec, SERVERS[0], SERVERS[:1], labels={}).uninstall
    assert one.run(f"mount --bind {DISK}/k3s /var/lib/rancher/k3s\n{script}").code == 0
    only_ours_went(one)


def test_uninstalling_leaves_a_folder_without_the_mark_alone(one: Sandbox) -> None:
    one.path(MARK).unlink()
    wrote(one, f"{DISK}/k3s/a.jpg")
    script = plan_node(spec_for(one, data_dir=f"{DISK}/k3s"), SERVERS[0], SERVERS[:1], labels={}).uninstall
    assert one.run(script).code == 0
    assert one.path(f"{DISK}/k3s/a.jpg").exists()


def checked(box: Sandbox, spec: K3sSpec, disk: str = "none") -> str:
    small = {"arch": "amd64", "cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False}
    which = machine("a", os=OsSpec.model_validate({"disk": disk}), figures=small)
    return box.run(plan(which, [host_checks(spec, which, [which])]).facts).stderr


def test_the_gate_says_that_the_disk_is_not_there(box: Sandbox) -> None:
    assert "/var/disk, which `k3s.data_dir` is in, does not exist" in checked(box, k3s(data_dir="/var/disk/k3s"))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("nfs4", "rw", "no file system of a local disk"),
        # containerd's own overlays cannot stand on another one.
        ("overlay", "rw", "no file system of a local disk"),
        ("tmpfs", "rw", "no file system of a local disk"),
        ("ext4", "rw,noexec,nosuid", "mounted with `noexec`"),
    ],
)
def test_the_gate_refuses_a_disk_that_k3s_cannot_use(box: Sandbox, kind: str, options: str, says: str) -> None:
    box.path("/var/disk").mkdir(parents=True)
    box.install("/usr/local/sbin/findmnt", f"case $* in *FSTYPE*) echo {kind} ;; *OPTIONS*) echo {options} ;; esac\n")
    assert says in checked(box, k3s(data_dir="/var/disk/k3s"))


def test_the_gate_asks_the_disk_of_the_datastore_for_encryption_too(box: Sandbox) -> None:
    box.path("/var/disk").mkdir(parents=True)
    box.install("/usr/local/sbin/findmnt", "case $* in *FSTYPE*) echo ext4 ;; *OPTIONS*) echo rw ;; esac\n")
    said = checked(box, k3s(data_dir="/var/disk/k3s"), disk="luks-tpm2")
    assert "the disk of `k3s.data_dir` is not encrypted" in said
    assert "`k3s.data_dir`" not in checked(box, k3s(data_dir="/var/disk/k3s"))
