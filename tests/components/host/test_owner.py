"""Whose host is it? The first gate of every run asks, and what is somebody else's is not touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.host.machine import Machine
from components.host.plan import OWNER, HostPlan, plan
from components.shell import secret_lines
from tests.components.site_parts import machine
from tests.sandbox import Sandbox, needs_root

pytestmark = needs_root

MINE, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    commands = {"systemctl": "echo loaded", "sysctl": "", "modprobe": "", "hostnamectl": ""}
    return Sandbox(tmp_path / "box", commands)


def scripts(name: str = "a", site: str = "prod") -> HostPlan:
    return plan(_machine(name, site))


def _machine(name: str, site: str) -> Machine:
    return machine(name, site=site, figures={"cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False})


def stdin(stack: str = MINE, *consent: str) -> str:
    return secret_lines([stack, *consent])


def mark(box: Sandbox, name: str = "a", site: str = "prod", stack: str = MINE) -> str:
    """A host as that site's `base` leaves it: its mark."""
    done = box.run(scripts(name, site).base, stdin=stdin(stack))
    assert box.path(OWNER).is_file(), done.stderr
    return box.path(OWNER).read_text()


def test_a_host_is_marked_with_site_node_and_stack(box: Sandbox) -> None:
    assert mark(box) == f"site=prod\nnode=prod-a\nstack={MINE}\n"
    assert box.run(scripts().reachable, stdin=stdin()).code == 0


@pytest.mark.parametrize(
    ("name", "site", "stack", "says"),
    [
        ("a", "prod2", MINE, "this host is prod-a of site prod, not prod2-a of site prod2"),
        ("b", "prod", MINE, "this host is prod-a of site prod, not prod-b of site prod"),
        ("a", "prod", OTHER, "prod-a of site prod in another stack"),
    ],
)
def test_a_host_of_somebody_else_is_refused_with_both_names(
    name: str, site: str, stack: str, says: str, box: Sandbox
) -> None:
    before = mark(box)
    ran = box.run(scripts(name, site).reachable, stdin=stdin(stack))
    assert ran.code == 1
    assert says in ran.stderr
    assert "adopt" in ran.stderr
    assert box.path(OWNER).read_text() == before


def test_a_host_is_adopted_on_purpose_and_once(box: Sandbox) -> None:
    mark(box)
    other = scripts("a", "prod2")
    consent = stdin(OTHER, "host-adopted:monday")
    assert box.run(other.reachable, stdin=consent).code == 0
    assert box.path(OWNER).read_text() == f"site=prod2\nnode=prod2-a\nstack={OTHER}\n"
    # The same consent does not take it from whoever has it next.
    mark(box)
    assert box.run(other.reachable, stdin=consent).code == 1
    assert box.run(other.reachable, stdin=stdin(OTHER, "k3s-downgrade:tuesday")).code == 1


@pytest.mark.parametrize(
    ("path", "called"),
    [
        ("/etc/rancher/rke2/config.yaml", "RKE2"),
        ("/var/lib/rancher/rke2/agent/x", "RKE2"),
        ("/etc/kubernetes/kubelet.conf", "kubeadm"),
        ("/etc/kubernetes/admin.conf", "kubeadm"),
        ("/etc/k0s/k0s.yaml", "k0s"),
        ("/var/lib/k0s/kubelet.conf", "k0s"),
        ("/etc/rancher/k3s/config.yaml", "K3s"),
        ("/var/lib/rancher/k3s/server/db/state.db", "K3s"),
        ("/var/lib/rancher/k3s/agent/kubelet.kubeconfig", "K3s"),
        ("/etc/systemd/system/k3s-agent.service", "K3s"),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_kubernetes_that_this_program_did_not_install_is_refused(
    path: str, called: str, known: bool, box: Sandbox
) -> None:
    file = box.path(path)
    file.parent.mkdir(parents=True)
    file.write_text("node-name: another\n")
    planned = scripts()
    ran = box.run(planned.facts_of_known if known else planned.facts)
    assert ran.code == 1
    assert called in ran.stderr
    assert "Nothing was changed" in ran.stderr
    assert file.read_text() == "node-name: another\n"


@pytest.mark.parametrize("path", ["server/manifests/storage.yaml", "agent/images/airgap.tar.zst"])
def test_a_host_with_files_for_a_k3s_that_has_not_run_yet_is_not_refused(path: str, box: Sandbox) -> None:
    file = box.path(f"/var/lib/rancher/k3s/{path}")
    file.parent.mkdir(parents=True)
    file.write_text("prepared\n")
    assert not _foreign(box.run(scripts().facts).stderr)


def own_k3s(box: Sandbox) -> None:
    """This site's K3s, as a release installed it that marked no host."""
    config = box.path("/etc/rancher/k3s/config.yaml")
    config.parent.mkdir(parents=True)
    config.write_text("node-name: prod-a\nprotect-kernel-defaults: true\n")


def _foreign(stderr: str) -> bool:
    return "did not install" in stderr


def test_a_host_of_a_release_without_marks_is_marked_and_not_refused(box: Sandbox) -> None:
    own_k3s(box)
    planned = scripts()
    assert box.run(planned.reachable, stdin=stdin()).code == 0
    assert not _foreign(box.run(planned.facts_of_known).stderr)
    assert mark(box).startswith("site=prod\nnode=prod-a\n")


def test_a_new_stack_does_not_take_over_a_site_without_marks(box: Sandbox) -> None:
    """Its state does not hold the host. Adopting it is a decision."""
    own_k3s(box)
    planned = scripts()
    assert _foreign(box.run(planned.facts).stderr)
    assert box.run(planned.reachable, stdin=stdin(OTHER, "host-adopted:monday")).code == 0
    assert not _foreign(box.run(planned.facts).stderr)


def test_a_host_that_left_belongs_to_nobody(box: Sandbox) -> None:
    mark(box)
    assert box.run(scripts().leave).code == 0
    assert not box.path(OWNER).exists()
    assert box.run(scripts("a", "prod2").reachable, stdin=stdin(OTHER)).code == 0


def test_leaving_under_another_name_removes_nothing(box: Sandbox) -> None:
    before = mark(box)
    ran = box.run(scripts("b").leave)
    assert ran.code == 0
    assert "this host is prod-a, not prod-b" in ran.stdout
    assert box.path(OWNER).read_text() == before
    assert box.path("/etc/sysctl.d/90-kubelet.conf").is_file()
