"""`edge drift` over real SSH on this machine's loopback: a server in this process runs what it is sent, as it is."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml

from edge.hosts import audit, drift
from edge.hosts.drift import expectations
from edge.hosts.login import Login, login_of_stack
from edge.run.failure import OperationError
from engine.environment import environment
from engine.obtain.cli import locate
from stacks.loader import load_site
from tests.edge.conftest import Project
from tests.edge.sites import broken_site, site

REAL_LOGIN = login_of_stack


def new_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def public(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


def login(server: Server, **others: str) -> Login:
    """By the key that ``server`` accepts, and other secrets, with `_` for `-` in their keys."""
    secrets = {key.replace("_", "-"): value for key, value in others.items()}
    return Login({"ssh-private-key": server.operator.export_private_key().decode(), **secrets})


@dataclass
class Server:
    """An SSH server that lets ``operator`` in as root; ``answer`` is printed in place of what a host would print."""

    operator: asyncssh.SSHKey = field(default_factory=new_key)
    host_key: asyncssh.SSHKey = field(default_factory=new_key)
    other_host_keys: list[asyncssh.SSHKey] = field(default_factory=list)
    answer: str = ""
    code: int = 0
    forwards: bool = False
    """Whether it can be a jump host."""
    address: str = "127.0.0.1"
    port: int = 0
    """The system chooses it where it is 0."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Command and standard input of each session."""
    users: list[str] = field(default_factory=list)
    """Who asked, and who passed through."""

    async def serve(self, process: asyncssh.SSHServerProcess[str]) -> None:
        self.asked.append((process.command or "", await process.stdin.read()))
        self.users.append(process.get_extra_info("username"))
        process.stdout.write(self.answer)
        process.stderr.write("sudo: a password is required\n" if self.code else "")
        process.exit(self.code)

    async def listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            self.address,
            self.port,
            server_host_keys=[self.host_key, *self.other_host_keys],
            authorized_client_keys=asyncssh.import_authorized_keys(public(self.operator)),
            process_factory=self.serve,
            server_factory=(lambda: _JumpHost(self)) if self.forwards else None,
        )


class _JumpHost(asyncssh.SSHServer):
    def __init__(self, server: Server) -> None:
        self._server = server

    def begin_auth(self, username: str) -> bool:
        self._server.users.append(username)
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


@contextmanager
def listening(server: Server) -> Iterator[Server]:
    """``server`` in a thread of its own."""
    loop = asyncio.new_event_loop()
    acceptor = loop.run_until_complete(server.listen())
    server.port = acceptor.get_port()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        acceptor.close()
        loop.run_until_complete(acceptor.wait_closed())
        loop.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with listening(Server()) as made:
        for module in (drift, audit):
            monkeypatch.setattr(module, "login_of_stack", lambda *_: login(made))
        yield made


@pytest.fixture
def shops(project: Project) -> Path:
    """A folder of sites whose stacks have their secrets."""
    folder = project.root / "shops"
    folder.mkdir()
    return folder


def shop(folder: Path, server: Server, name: str = "shop", **host: Any) -> Path:
    """A site of one host on ``server``, without Kubernetes."""
    settings = folder.parent / f"Pulumi.{name}.yaml"
    settings.write_text(yaml.safe_dump({"config": {"edge:ssh-private-key": {"secure": "v1:..."}}}))
    one = {"name": "a", "hardware": "hpe-el8000", "address": "127.0.0.1", "host_key": public(server.host_key), **host}
    parts = dict.fromkeys(("k3s", "mesh", "gitops", "telemetry", "inference"))
    ssh = {"user": "root", "port": server.port, "dial_timeout_s": 5}
    return site(folder, name, {**parts, "hosts": [one], "ssh": ssh})


def as_planned(file: Path, project: Project) -> str:
    """What the probe prints on a host that is as planned."""
    (expected,) = expectations(load_site(file, root=project.root), {}).values()
    return "".join(f"{one.kind}\t{one.name}\t{one.value}\n" for one in expected)


def not_reached(project: Project, file: Path) -> str:
    ran = project.edge("drift", file, "--json")
    assert ran.code == ran.document["exit"] == 1
    assert ran.document["counts"]["not_reached"] == 1
    return str(ran.document["sites"][0]["hosts"][0]["not_reached"])


def test_a_host_that_is_as_planned_is_asked_once_and_ends_well(project: Project, shops: Path, server: Server) -> None:
    file = shop(shops, server)
    server.answer = as_planned(file, project)
    ran = project.edge("drift", file)
    assert (ran.code, ran.stdout.split(" (")[0]) == (0, "1 site, 1 host: all as planned")
    ((command, stdin),) = server.asked
    assert command.startswith("exec bash -c ")
    assert "content\t/etc/sysctl.d/91-edge.conf\n" in stdin


def test_what_differs_is_named_with_the_line_that_puts_it_right(project: Project, shops: Path, server: Server) -> None:
    file = shop(shops, server)
    server.answer = as_planned(file, project).replace("kernel.panic\t10", "kernel.panic\t0")
    ran = project.edge("drift", file)
    assert ran.code == 1
    assert [line.split() for line in ran.stdout.splitlines()[:3]] == [
        ["shop"],
        ["host", "what", "expected", "found"],
        ["shop-a", "setting", "kernel.panic", "10", "0"],
    ]
    assert "  > reapply: " in ran.stdout
    assert " in shop.yaml at a: " in ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("1 site, 1 host: 1 difference on 1 ")


def test_status_says_what_was_seen_when_somebody_last_looked(project: Project, shops: Path, server: Server) -> None:
    file = shop(shops, server)
    (unknown,) = project.edge("status", file, "--json").document["sites"]
    assert unknown["drift_seen"] is None
    server.answer = as_planned(file, project).replace("kernel.panic\t10", "kernel.panic\t0")
    assert project.edge("drift", file).code == 1
    (known,) = project.edge("status", file, "--json").document["sites"]
    assert (known["drift_seen"]["drifted"], known["drift_seen"]["hosts"]) == (["a"], 1)
    said = " ".join(project.edge("status", file).stdout.split())
    assert "shop: 1 of 1 hosts not as planned when `edge drift` last looked, on 2" in said
    server.answer = as_planned(file, project)
    assert project.edge("drift", file).code == 0
    assert "not as planned" not in project.edge("status", file).stdout


def test_the_word_to_write_is_not_the_one_that_stands_there(project: Project, shops: Path, server: Server) -> None:
    file = shop(shops, server)
    first = project.edge("drift", file, "--json").document["sites"][0]["remedy"]
    file = shop(shops, server, reapply=first["reapply"])
    second = project.edge("drift", file, "--json").document["sites"][0]["remedy"]
    assert first["hosts"] == second["hosts"] == ["a"]
    assert second["reapply"] not in ("", first["reapply"])
    assert load_site(shop(shops, server, reapply=second["reapply"]), root=project.root).hosts[0].reapply


def test_sites_that_cannot_be_looked_at_do_not_stop_the_others(project: Project, shops: Path, server: Server) -> None:
    good, silent = shop(shops, server), shop(shops, server, "silent")
    server.answer = as_planned(good, project)
    (project.root / "Pulumi.silent.yaml").unlink()
    ran = project.edge("drift", good, silent, broken_site(shops), "--json")
    by_site = {one["site"]: one for one in ran.document["sites"]}
    assert ran.code == ran.document["exit"] == 2, "bad input outweighs drift"
    assert by_site["shop"]["exit"] == 0
    assert "ssh-private-key" in by_site["silent"]["error"]["what"]
    assert by_site["broken"]["problems"]


def test_a_machine_with_another_key_is_not_asked(project: Project, shops: Path, server: Server) -> None:
    assert "host key" in not_reached(project, shop(shops, server, host_key=public(new_key())))
    assert server.asked == []


def test_a_host_without_a_key_of_the_pinned_kind_is_told_from_a_lost_connection(
    project: Project, shops: Path, server: Server
) -> None:
    # Offered only the pinned kind, a server closes the connection, often before its reason has been read.
    other = public(asyncssh.generate_private_key("ecdsa-sha2-nistp256"))
    said = not_reached(project, shop(shops, server, host_key=other))
    assert said.startswith("its host key differs from the one in the site file")
    assert server.asked == []


def test_a_host_with_keys_of_several_kinds_shows_the_pinned_kind(
    project: Project, shops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    with listening(Server(other_host_keys=[pinned])) as server:
        monkeypatch.setattr(drift, "login_of_stack", lambda *_: login(server))
        file = shop(shops, server, host_key=public(pinned))
        server.answer = as_planned(file, project)
        assert project.edge("drift", file).code == 0


def test_a_refused_login_is_called_one(project: Project, shops: Path, server: Server) -> None:
    with listening(Server(host_key=server.host_key)) as stranger:
        assert not_reached(project, shop(shops, stranger)) == "login as root was refused"


def test_a_host_on_which_nobody_listens_is_not_reached(project: Project, shops: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server.port = taken.getsockname()[1]
    assert "refused" in not_reached(project, shop(shops, server)).lower()


def test_a_host_that_says_nothing_is_given_up_in_time(project: Project, shops: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server.port = silent.getsockname()[1]
        file = shop(shops, server)
        content = yaml.safe_load(file.read_text())
        content["ssh"]["dial_timeout_s"] = 1
        file.write_text(yaml.safe_dump(content))
        said = not_reached(project, file)
    assert said == "its SSH server accepted the connection and did not complete the login within 1 s"


def test_a_host_behind_one_that_is_not_reached_says_which(project: Project, shops: Path, server: Server) -> None:
    file = shop(shops, server, host_key=public(new_key()))
    content = yaml.safe_load(file.read_text())
    content["hosts"].append({**content["hosts"][0], "name": "b", "address": "127.0.0.2", "via": "a"})
    content["hosts"][1]["host_key"] = public(server.host_key)
    content["hosts"][1]["role"] = "agent"
    file.write_text(yaml.safe_dump(content))
    ran = project.edge("drift", file, "--json")
    first, behind = ran.document["sites"][0]["hosts"]
    assert behind["not_reached"] == f"jump host a could not be reached: {first['not_reached']}"


def test_a_host_that_cannot_be_looked_at_says_why(project: Project, shops: Path, server: Server) -> None:
    server.code = 1
    assert not_reached(project, shop(shops, server)).endswith("sudo: a password is required")


def test_a_key_that_is_none_is_said_to_be_and_not_shown(
    project: Project, shops: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "login_of_stack", lambda *_: Login({"ssh-private-key": "MARKER-not-a-key"}))
    ran = project.edge("drift", shop(shops, server))
    assert ran.code == 1
    assert "ssh-private-key of shop cannot be used" in ran.stdout
    assert "MARKER" not in ran.stdout + ran.stderr


def test_a_secret_that_cannot_be_read_is_explained(
    project: Project, shops: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> Login:
        raise OperationError("incorrect passphrase", ("export PULUMI_CONFIG_PASSPHRASE_FILE=...",))

    monkeypatch.setattr(drift, "login_of_stack", locked)
    ran = project.edge("drift", shop(shops, server))
    assert ran.code == 1
    assert "> export PULUMI_CONFIG_PASSPHRASE_FILE" in ran.stdout
    assert server.asked == []


@pytest.mark.engine
def test_the_key_is_the_stacks_own_secret_and_without_its_passphrase_nobody_is_asked(
    project: Project, shops: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "login_of_stack", REAL_LOGIN)
    monkeypatch.setenv("PULUMI_HOME", str(project.root / "home"))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "a passphrase")
    file = shop(shops, server)
    (project.root / "Pulumi.shop.yaml").unlink()
    key = server.operator.export_private_key().decode()
    for arguments in (["stack", "init", "shop"], ["config", "set", "--secret", "edge:ssh-private-key", "--stack=shop"]):
        command = [str(locate().path), *arguments, "--non-interactive"]
        variables = {**os.environ, **environment(project_root=project.root)}
        subprocess.run(command, cwd=project.root, env=variables, input=key, text=True, check=True, capture_output=True)
    server.answer = as_planned(file, project)
    ran = project.edge("drift", file)
    assert ran.code == 0, ran.stdout
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    ran = project.edge("drift", file)
    assert ran.code == 1
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in ran.stdout.split(">")[1]
    assert "Traceback" not in ran.stdout + ran.stderr
    assert len(server.asked) == 1


def test_what_takes_long_says_how_far_it_is_on_standard_error(
    project: Project, shops: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shop(shops, server)
    server.answer = as_planned(file, project)
    assert project.edge("drift", file, "--json").stderr == ""
    monkeypatch.setattr("edge.show.progress._QUIET_S", 0.0)
    monkeypatch.setattr("edge.show.progress._LINE_EACH_S", 0.0)
    ran = project.edge("drift", file, "--json")
    assert ran.document["exit"] == 0
    assert ran.stderr.splitlines()[-1] == "drift  1 of 1 hosts probed"


def test_a_name_that_is_no_site_is_bad_input(project: Project) -> None:
    assert project.edge("drift", "nowhere").code == 2


def test_every_host_of_a_site_is_expected_to_hold_what_all_of_its_parts_leave() -> None:
    found = expectations(load_site("prod"), {})
    for name, expected in found.items():
        names = {one.name for one in expected}
        assert {"kernel.hostname", "/etc/rancher/k3s/config.yaml", "tailscaled.service"} <= names, name
