"""Ways to log in to hosts: each host's own user and port, a bastion, an agent, a passphrase, a password for sudo."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from components.expected import asked
from edge.hosts import drift
from edge.hosts.contact import unusable
from edge.hosts.drift import expectations
from edge.hosts.login import Login
from edge.run.failure import OperationError
from stacks.loader import load_site
from stacks.site import SiteSpec
from tests.edge.conftest import Project
from tests.edge.sites import site
from tests.edge.test_drift import Server, as_planned, listening, login, new_key, public, shop, shops  # noqa: F401

PASSPHRASE, PASSWORD = "a phrase for this test", "a password for this test"


@pytest.fixture
def server() -> Iterator[Server]:
    with listening(Server()) as made:
        yield made


def spec(project: Project, server: Server, ways: Mapping[str, Any], **host: Any) -> SiteSpec:
    """One host, which is ``server``; ``host`` is what else the file says of it."""
    parts = dict.fromkeys(("k3s", "mesh", "gitops", "telemetry", "inference"))
    one = {"name": "a", "hardware": "hpe-el8000", "address": "127.0.0.1", "host_key": public(server.host_key), **host}
    ssh = {"user": "root", "port": server.port, "dial_timeout_s": 5, **ways}
    return load_site(site(project.sites, "shop", {**parts, "hosts": [one], "ssh": ssh}), root=project.root)


def test_a_host_is_reached_as_its_own_block_says(project: Project, server: Server) -> None:
    own = {"user": "admin", "port": server.port}
    found = spec(project, server, {"port": 1, "dial_attempts": 7}, ssh=own)
    assert unusable(found, login(server), ["a"]) == {}
    assert found.ssh_of(found.hosts[0]).dial_attempts == 7


def test_a_bastion_has_its_own_key_port_and_user(project: Project, server: Server) -> None:
    with listening(Server(server.operator, forwards=True)) as outside:
        bastion = {"address": "127.0.0.1", "port": outside.port, "user": "gate", "host_key": public(outside.host_key)}
        found = spec(project, server, {"bastion": bastion})
        assert unusable(found, login(server), ["a"]) == {}
        assert set(outside.users) == {"gate"}


def test_a_bastion_with_another_key_is_not_gone_through(project: Project, server: Server) -> None:
    with listening(Server(server.operator, forwards=True)) as outside:
        bastion = {"address": "127.0.0.1", "port": outside.port, "host_key": public(new_key())}
        found = unusable(spec(project, server, {"bastion": bastion}), login(server), ["a"])
        assert outside.users == []
    assert found["a"].startswith("bastion 127.0.0.1 could not be reached: its host key differs")


def test_a_key_with_a_passphrase_is_opened_with_it(project: Project, server: Server) -> None:
    locked = server.operator.export_private_key(passphrase=PASSPHRASE).decode()
    found = spec(project, server, {"login": "key-with-passphrase"})
    secrets = {"ssh-private-key": locked, "ssh-key-passphrase": PASSPHRASE}
    assert unusable(found, Login(secrets), ["a"]) == {}
    with pytest.raises(OperationError) as refused:
        unusable(found, Login(secrets | {"ssh-key-passphrase": "wrong"}), ["a"])
    assert "ssh-private-key of shop cannot be used" in refused.value.what
    assert "wrong" not in refused.value.what


def test_a_key_whose_passphrase_nobody_has_named_says_how_to(project: Project, server: Server) -> None:
    locked = server.operator.export_private_key(passphrase=PASSPHRASE).decode()
    with pytest.raises(OperationError, match="login: key-with-passphrase"):
        unusable(spec(project, server, {}), Login({"ssh-private-key": locked}), ["a"])


@pytest.fixture
def agent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """OpenSSH's agent, which holds the key that ``server`` accepts."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("OpenSSH is not installed")
    socket, key = tmp_path / "agent", tmp_path / "key"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not socket.exists():
            assert time.monotonic() < deadline, "ssh-agent did not start"
        key.touch(0o600)
        server.operator.write_private_key(key)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", str(key)], check=True, capture_output=True)
        yield socket
    finally:
        process.terminate()
        process.wait()


@pytest.mark.usefixtures("agent")
def test_an_agent_logs_in_and_the_stack_needs_no_key(project: Project, server: Server) -> None:
    assert unusable(spec(project, server, {"login": "agent"}), Login(), ["a"]) == {}


def test_without_an_agent_it_says_so(project: Project, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(OperationError, match="SSH_AUTH_SOCK names no SSH agent"):
        unusable(spec(project, server, {"login": "agent"}), Login(), ["a"])
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    with pytest.raises(OperationError, match="No SSH agent answers at /nowhere"):
        unusable(spec(project, server, {"login": "agent"}), Login(), ["a"])


def test_an_agent_is_not_asked_where_the_site_has_a_key(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    assert unusable(spec(project, server, {}), login(server), ["a"]) == {}


def test_the_password_of_sudo_goes_by_standard_input_alone(
    project: Project,
    shops: Path,  # noqa: F811
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passwords = {"sudo_password": "that of other hosts", "sudo_password_press": f"{PASSWORD}\n"}
    monkeypatch.setattr(drift, "login_of_stack", lambda *_: login(server, **passwords))
    file = shop(shops, server, ssh={"user": "core", "sudo": "password", "sudo_login": "press"})
    settings = file.parent.parent / "Pulumi.shop.yaml"
    settings.write_text(settings.read_text() + "  edge:sudo-password-press: {secure: v1:...}\n")
    server.answer = as_planned(file, project)
    ran = project.edge("drift", file)
    assert ran.code == 0, ran.stdout
    ((command, stdin),) = server.asked
    assert PASSWORD not in command
    first, rest = stdin.split("\n", 1)
    assert first == PASSWORD
    (expected,) = expectations(load_site(file, root=project.root), {}).values()
    assert rest == asked(expected)


def test_without_the_password_of_sudo_it_says_which_secret_is_missing(
    project: Project,
    shops: Path,  # noqa: F811
    server: Server,
) -> None:
    ssh = {"user": "core", "sudo": "password", "sudo_login": "press"}
    ran = project.edge("drift", shop(shops, server, ssh=ssh))
    assert ran.code == 1
    assert "sudo-password-press" in ran.stdout
    assert server.asked == []


def test_doctor_looks_at_the_bastion_and_names_it_at_the_hosts_behind_it(project: Project, server: Server) -> None:
    from edge.hosts.doctor import _hosts

    if shutil.which("ssh-keyscan") is None:
        pytest.skip("OpenSSH is not installed")
    with listening(Server(forwards=True)) as outside:
        bastion = {"address": "127.0.0.1", "port": outside.port, "host_key": public(outside.host_key)}
        first, second = _hosts(spec(project, server, {"bastion": bastion}))
    assert (first.name, first.status) == ("bastion 127.0.0.1", "ok")
    assert "behind bastion 127.0.0.1" in second.detail
