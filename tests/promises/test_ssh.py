"""How the program reaches a host: only that host, patiently once, one command after the other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from engine.environment import PROJECT_ROOT
from engine.rehearsal.in_process import Recorded
from stacks.loader import load_site
from tests.promises.recordings import (
    COMMAND,
    SECRET_MARK,
    SITES,
    before,
    commands,
    plain,
    recorded,
    recorded_site,
    with_changes,
)


def hosts(site: str) -> dict[str, str]:
    """Pinned host keys of a site by address."""
    return {host.address: host.host_key for host in load_site(site).hosts}


def connections() -> list[tuple[str, Recorded, dict[str, Any]]]:
    return [
        (site, resource, plain(resource)["connection"])
        for site in SITES
        for resource in recorded(site).resources
        if resource.type == COMMAND
    ]


def gate(command: str) -> bool:
    return command.endswith("-reachable")


def test_every_connection_pins_the_host_key_of_the_site_file() -> None:
    for site, command, connection in connections():
        assert connection.get("hostKey") == hosts(site)[connection["host"]], command.name


def test_a_connection_through_a_jump_host_pins_the_jump_hosts_key_too() -> None:
    through = [(site, command, found["proxy"]) for site, command, found in connections() if found.get("proxy")]
    assert through, "no site has a host behind a jump host"
    for site, command, proxy in through:
        assert proxy.get("hostKey") == hosts(site)[proxy["host"]], command.name


def test_the_gate_of_a_host_tries_more_often_than_any_command_after_it() -> None:
    for site in SITES:
        attempts = {
            command.name: (connection["host"], connection["dialErrorLimit"])
            for one, command, connection in connections()
            if one == site
        }
        for name, (host, tries) in attempts.items():
            if gate(name):
                others = [limit for other, (at, limit) in attempts.items() if at == host and not gate(other)]
                assert tries > max(others), name


def test_every_attempt_to_connect_has_the_time_limit_of_the_site_file() -> None:
    # Not the SDK's own default, which the example sites happen to share.
    limit = 7

    def patient(content: dict[str, Any]) -> None:
        content["ssh"]["dial_timeout_s"] = limit

    found = [one for one in with_changes("shelf-lyon", patient).resources if one.type == COMMAND]
    assert found
    for command in found:
        connection = plain(command)["connection"]
        for dial in (connection, connection.get("proxy") or connection):
            assert dial.get("perDialTimeout") == limit, command.name


def ways_to_log_in() -> Mapping[str, dict[str, Any]]:
    """Inputs of the `facts` command of each host of a site whose hosts are each reached in another way."""
    file = PROJECT_ROOT / "tests/fixtures/sites/valid/ways-to-log-in.yaml"
    found = recorded_site(load_site(file)).resources
    return {host: plain(one) for one in found for host in "abc" if one.name == f"ways-to-log-in-{host}-facts"}


def test_each_host_is_reached_on_its_own_port_as_its_own_user() -> None:
    found = {host: inputs["connection"] for host, inputs in ways_to_log_in().items()}
    assert (found["a"]["port"], found["a"]["user"]) == (8022, "root")
    assert (found["b"]["port"], found["b"]["user"]) == (22, "core")
    proxy = found["b"]["proxy"]
    assert (proxy["host"], proxy["port"], proxy["user"]) == ("10.10.0.11", 8022, "root"), "as the jump host itself"


def test_a_bastion_is_gone_through_with_its_own_key_port_and_user() -> None:
    found = {host: inputs["connection"].get("proxy") for host, inputs in ways_to_log_in().items()}
    assert found["a"] is None, "the host says that it is reached directly"
    bastion = found["c"]
    assert (bastion["host"], bastion["port"], bastion["user"]) == ("gate.example.com", 2222, "gate")
    assert bastion["hostKey"].endswith("jGmOlDrGUOGtAFfkaB")
    assert bastion["privateKeyPassword"] == f"{SECRET_MARK}ssh-key-passphrase"


def test_a_passphrase_goes_with_the_key_and_an_agent_gets_neither() -> None:
    found = {host: inputs["connection"] for host, inputs in ways_to_log_in().items()}
    assert found["c"]["privateKey"] == f"{SECRET_MARK}ssh-private-key"
    assert found["c"]["privateKeyPassword"] == f"{SECRET_MARK}ssh-key-passphrase"
    # The plugin asks the agent of SSH_AUTH_SOCK where there is no key; the path of one machine is in no state.
    assert not {"privateKey", "privateKeyPassword", "agentSocketPath"} & found["a"].keys()


def test_the_password_of_sudo_is_the_first_line_of_standard_input_and_nowhere_else() -> None:
    for host, inputs in ways_to_log_in().items():
        # Host c says that it has another than the rest of its site.
        password = f"{SECRET_MARK}sudo-password{'-press' if host == 'c' else ''}"
        assert (inputs.get("stdin") or "").startswith(f"{password}\n") == (host != "a")
        assert password not in str({key: value for key, value in inputs.items() if key != "stdin"})
        assert ("sudo -kSp" in inputs["create"]) == (host != "a")


def node_at(site: str) -> dict[str, str]:
    """Name of each host outside its site, by address."""
    return {
        plain(command)["connection"]["host"]: command.name.removesuffix("-reachable")
        for command in commands("reachable")
        if command.name.startswith(f"{site}-") and command in recorded(site).resources
    }


def test_nothing_is_done_on_a_host_before_its_gate() -> None:
    for site, command, connection in connections():
        reachable = f"{node_at(site)[connection['host']]}-reachable"
        assert command.name == reachable or reachable in before(site, command), command.name


def test_a_host_behind_a_jump_host_is_tried_once_the_jump_host_is_prepared() -> None:
    for site, command, connection in connections():
        if proxy := connection.get("proxy"):
            assert f"{node_at(site)[proxy['host']]}-base" in before(site, command), command.name


def test_commands_of_one_host_run_one_after_the_other() -> None:
    for site in SITES:
        nodes = node_at(site)
        own: dict[str, list[Recorded]] = {}
        for one, command, connection in connections():
            # A command that is about another host waits for that host instead.
            others = [f"{node}-" for at, node in nodes.items() if at != connection["host"]]
            if one == site and not command.name.startswith(tuple(others)):
                own.setdefault(connection["host"], []).append(command)
        for queue in own.values():
            ordered = sorted(queue, key=lambda command: len(before(site, command)))
            for earlier, later in itertools.pairwise(ordered):
                assert earlier.name in before(site, later), f"{earlier.name} and {later.name} may run at the same time"


def at_once(site: str, found: Sequence[Recorded]) -> int:
    """The greatest number of ``found`` of which none waits for another: all but a maximum matching (Dilworth)."""
    names = {command.name for command in found}
    later = {command.name: before(site, command) & names for command in found}
    matched: dict[str, str] = {}

    def match(name: str, tried: set[str]) -> bool:
        for earlier in later[name] - tried:
            tried.add(earlier)
            if earlier not in matched or match(matched[earlier], tried):
                matched[earlier] = name
                return True
        return False

    return len(names) - sum(match(name, set()) for name in names)


def test_few_commands_connect_to_a_host_at_once_and_few_in_a_run() -> None:
    # Pulumi's command plugin keeps each connection until the run ends: two processes of sshd, on a jump host too.
    for site in SITES:
        through: dict[str, list[Recorded]] = {}
        own: dict[str, list[Recorded]] = {}
        behind: dict[str, set[str]] = {}
        agents = sum(host.role == "agent" for host in load_site(site).hosts)
        for one, command, connection in connections():
            if one == site:
                own.setdefault(connection["host"], []).append(command)
                if proxy := connection.get("proxy"):
                    through.setdefault(proxy["host"], []).append(command)
                    behind.setdefault(proxy["host"], set()).add(connection["host"])
        for host, found in own.items():
            jumps, others = through.get(host, []), len(behind.get(host, ()))
            # Its own queue, and one about a server or about each agent: agents join at the same time. sshd drops
            # connections from the tenth on that has not logged in.
            assert at_once(site, found) <= 1 + max(1, agents), f"{site}: {host}"
            assert at_once(site, [*found, *jumps]) <= 1 + max(1, agents) + others, f"{site}: {host}"
            assert len(found) <= 10 + 2 * len(own), f"{site}: {host}"
            assert len(jumps) <= 7 * others, f"{site}: {host}"


def test_a_host_that_was_installed_anew_is_waited_for_and_prepared_again() -> None:
    def reinstalled(content: dict[str, Any]) -> None:
        content["hosts"][0]["host_key"] = content["hosts"][1]["host_key"]

    site = "store-madrid"
    (now,) = [one for one in recorded(site).resources if one.name == f"{site}-a-reachable"]
    (then,) = [one for one in with_changes(site, reinstalled).resources if one.name == now.name]
    assert plain(now).get("triggers"), "nothing makes the gate run again"
    assert plain(now)["triggers"] != plain(then)["triggers"]


@pytest.mark.parametrize("role", ["base", "tailscale", "k3s"])
def test_what_is_put_on_a_host_is_taken_away_on_destroy(role: str) -> None:
    for command in commands(role):
        assert plain(command).get("delete"), f"{command.name} leaves what it installed"
