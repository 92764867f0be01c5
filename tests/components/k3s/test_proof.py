"""A host from before hosts were marked: its K3s must have this stack's token before the host gets the mark."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.host.machine import Machine
from components.host.plan import OWNER, plan
from components.k3s.plan import proof
from components.shell import secret_lines
from tests.components.site_parts import machine
from tests.sandbox import Run, Sandbox, needs_root

pytestmark = needs_root

_FILES = {"server": "/etc/rancher/k3s/token", "agent": "/etc/rancher/k3s/agent-token"}
_TRACES = {
    "server": "/var/lib/rancher/k3s/server/db/state.db",
    "agent": "/var/lib/rancher/k3s/agent/kubelet.kubeconfig",
}
_FULL = f"K10{'0' * 64}::server:"


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "box", {"systemctl": "", "sysctl": "", "modprobe": "", "hostnamectl": ""})


@pytest.fixture(params=["server", "agent"])
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def host(role: str) -> Machine:
    return machine("a", site="prod", role=role)


def write(box: Sandbox, path: str, text: str = "") -> None:
    box.path(path).parent.mkdir(parents=True, exist_ok=True)
    box.path(path).write_text(text)


def base(box: Sandbox, role: str, token: str = "our-secret") -> Run:
    return box.run(plan(host(role), proofs=[proof(host(role)).script]).base, stdin=secret_lines(["0" * 16, token]))


@pytest.mark.parametrize("held", ["our-secret", f"{_FULL}our-secret"])
def test_a_host_whose_k3s_has_this_stacks_token_is_marked(held: str, role: str, box: Sandbox) -> None:
    write(box, _FILES[role], f"{held}\n")
    write(box, _TRACES[role])
    done = base(box, role)
    assert "node=prod-a" in box.path(OWNER).read_text(), done.stderr


@pytest.mark.parametrize("held", ["their-secret", f"{_FULL}their-secret", ""])
def test_a_host_whose_k3s_has_another_token_is_refused_before_anything_changes(
    held: str, role: str, box: Sandbox
) -> None:
    write(box, _FILES[role], f"{held}\n")
    write(box, _TRACES[role])
    done = base(box, role)
    assert done.code == 1
    for said in ("prod-a", "token", "Nothing was changed", "prod-a:host-adopted:", proof(host(role)).secret):
        assert said in done.stderr
    assert not box.path(OWNER).exists()
    assert not box.path("/etc/sysctl.d/90-kubelet.conf").exists()
    for secret in ("our-secret", "their-secret"):
        assert secret not in done.stderr + done.stdout


def test_a_k3s_without_a_token_file_is_nobody_s_of_ours(role: str, box: Sandbox) -> None:
    """Other installers keep the token elsewhere."""
    write(box, _TRACES[role])
    done = base(box, role)
    assert done.code == 1
    assert f"has no token in {_FILES[role]}" in done.stderr


def test_a_first_installation_that_was_killed_proves_nothing_and_is_marked(role: str, box: Sandbox) -> None:
    write(box, "/etc/rancher/k3s/config.yaml", "node-name: prod-a\n")
    base(box, role)
    assert box.path(OWNER).is_file()


def test_a_marked_host_is_not_asked_for_its_token(role: str, box: Sandbox) -> None:
    """The mark says more, and a token may be changed later."""
    base(box, role)
    write(box, _FILES[role], "another\n")
    base(box, role)
    assert box.path(OWNER).is_file()
    assert "token" not in base(box, role).stderr
