"""Before `up` changes hosts it contacts them: real SSH on this machine's loopback."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from edge.hosts.contact import Contact, unusable
from edge.run.events import ResourceChange, Run
from edge.run.operation import Outcome
from engine.environment import environment
from engine.obtain.cli import locate
from engine.rehearsal.serving import RehearsalServer
from stacks.loader import load_site
from stacks.site import SiteSpec
from tests.edge.conftest import Project
from tests.edge.sites import site
from tests.edge.test_drift import Server, listening, login, new_key, public

B = "127.0.0.3"
_KEY = "edge:ssh-private-key"


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def server() -> Iterator[Server]:
    with listening(Server(forwards=True)) as made:
        yield made


@pytest.fixture
def another(server: Server) -> Iterator[Server]:
    """A machine with a host key of its own at the address of host b."""
    with listening(Server(server.operator, address=B, port=server.port)) as made:
        yield made


def spec(project: Project, server: Server, *, port: int = 0, **host: Any) -> SiteSpec:
    """Hosts a, which is ``server``, and b, whose key in the file no machine has; ``host`` is what else it says of b."""
    parts = dict.fromkeys(("k3s", "mesh", "gitops", "telemetry", "inference"))
    key = public(server.host_key)
    hosts = [
        {"name": "a", "hardware": "hpe-el8000", "address": "127.0.0.1", "host_key": key},
        {"name": "b", "hardware": "hpe-el8000", "address": B, "host_key": public(new_key()), **host},
    ]
    ssh = {"user": "root", "port": port or server.port, "dial_timeout_s": 1}
    return load_site(site(project.sites, "shop", {**parts, "hosts": hosts, "ssh": ssh}), root=project.root)


def planned(**ops: Any) -> Outcome:
    """A preview with commands of these names and operations."""
    run = Run()
    for name, op in ops.items():
        change = ResourceChange(f"urn::{name}", "command:remote:Command", name.replace("_", "-"), "", op)
        run.resources[change.urn] = change
    return Outcome("shop", "real", "preview", run)


def test_a_host_that_can_be_used_is_no_problem_and_runs_nothing(project: Project, server: Server) -> None:
    assert unusable(spec(project, server), login(server), ["a"]) == {}
    assert server.asked == []


@pytest.mark.usefixtures("another")
def test_a_host_that_shows_another_key_is_named(project: Project, server: Server) -> None:
    site = spec(project, server)
    assert unusable(site, login(server), ["a", "b"]) == {
        "b": "its host key differs from the one in the site file: the host was reimaged, or this is another machine"
    }


@pytest.mark.usefixtures("another")
def test_a_host_behind_a_jump_host_that_shows_another_key_is_named(project: Project, server: Server) -> None:
    found = unusable(spec(project, server, via="a"), login(server), ["b"])
    assert found["b"].startswith("its host key differs")


def test_a_login_that_is_refused_is_named(project: Project, server: Server) -> None:
    other = Server()
    assert unusable(spec(project, server), login(other), ["a"]) == {"a": "login as root was refused"}


def test_a_server_that_accepts_a_connection_and_stays_silent_is_named(project: Project, server: Server) -> None:
    with silent() as port:
        found = unusable(spec(project, server, port=port), login(server), ["a"])
    assert found == {
        "a": "its SSH server accepted the connection and did not complete the login within 1 s",
    }


def test_a_host_that_does_not_answer_is_left_to_the_engine(project: Project, server: Server) -> None:
    with silent() as port:
        pass
    assert unusable(spec(project, server, port=port), login(server), ["a"]) == {}


@pytest.mark.usefixtures("another")
def test_only_hosts_that_the_plan_changes_are_contacted(project: Project, server: Server) -> None:
    commands = {"a": frozenset({"shop-a-base"}), "b": frozenset({"shop-b-base", "shop-a-k3s-admit"})}
    contact = Contact(spec(project, server), commands, login(server))
    assert contact.refusal(planned(shop_a_base="update", shop_b_base="same")) is None
    assert contact.refusal(planned()) is None
    for change in ({"shop_b_base": "update"}, {"shop_a_k3s_admit": "replace"}):
        refused = contact.refusal(planned(**change))
        assert refused is not None
        assert "Nothing was changed:\n  b: its host key differs" in refused.what
        assert refused.remedies[0].startswith("edge doctor shop ")


def test_the_key_is_not_in_what_is_printed_of_a_contact(project: Project, server: Server) -> None:
    assert "PRIVATE" not in repr(Contact(None, {}, login(server)))


@pytest.fixture
def attached(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Real runs of `edge`, whose providers are rehearsed and whose state is in the project."""
    home = project.root / "home"
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "test")
    monkeypatch.setenv("PULUMI_HOME", str(home))
    with RehearsalServer() as provider:
        monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", provider.debug_providers)
        yield


def keep_key(project: Project, key: str) -> None:
    """The stack of the site, with the operators' SSH key among its secrets."""
    everything = {**os.environ, **environment(project_root=project.root)}
    for arguments, stdin in ((["stack", "init", "shop"], ""), (["config", "set", "--secret", _KEY], key)):
        command = [str(locate().path), *arguments, "--non-interactive"]
        command += [] if arguments[0] == "stack" else ["--stack", "shop"]
        subprocess.run(command, cwd=project.root, env=everything, input=stdin, text=True, check=True)


@pytest.mark.engine
@pytest.mark.usefixtures("attached", "another")
def test_up_stops_before_it_changes_anything_where_a_host_shows_another_key(project: Project, server: Server) -> None:
    spec(project, server)
    keep_key(project, login(server).private_key)
    ran = project.edge("up", "shop", "--yes", "--json")
    assert ran.code == ran.document["exit"] == 1, ran.stdout
    assert "b: its host key differs from the one in the site file" in ran.document["error"]["what"]
    assert "PRIVATE KEY" not in ran.stdout + ran.stderr
    assert project.edge("outputs", "shop", "--json").document["outputs"] == {}, "nothing was brought up"


@pytest.mark.engine
@pytest.mark.usefixtures("attached")
def test_up_goes_on_where_all_hosts_can_be_used(project: Project, server: Server, another: Server) -> None:
    spec(project, server, host_key=public(another.host_key))
    keep_key(project, login(server).private_key)
    ran = project.edge("up", "shop", "--yes", "--json")
    assert ran.code == 0, ran.stdout
    assert ran.document["counts"]["create"] > 0
