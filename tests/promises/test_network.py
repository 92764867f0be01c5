"""A site behind a proxy: everything goes out through it, its login stays secret, and other sites notice nothing."""

from __future__ import annotations

import re

import pytest

from engine.rehearsal.in_process import Recorded, Secret
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site
from tests.promises.recordings import (
    COMMAND,
    SECRET_MARK,
    SITES,
    all_resources,
    files,
    plain,
    recorded_site,
    script,
)
from tests.promises.test_secrets_in_resources import holds_secret

BEHIND = PROJECT_ROOT / "tests" / "fixtures" / "sites" / "valid" / "behind-a-proxy.yaml"
ENVIRONMENT = "/etc/edge/egress.env"
OF_THE_HOST = ("reachable", "facts", "base", "network")
"""Roles of the commands that run before a host has its way out."""


@pytest.fixture(scope="module")
def resources() -> list[Recorded]:
    return list(recorded_site(load_site(BEHIND)).resources)


def on_hosts(resources: list[Recorded]) -> list[Recorded]:
    return [one for one in resources if one.type == COMMAND]


def test_a_site_without_the_block_has_nothing_of_it() -> None:
    for site, resource in all_resources():
        assert resource.type != "edge:index:Network", site
        if resource.type == COMMAND:
            for when in ("create", "update", "delete"):
                assert "egress" not in script(resource, when), f"{resource.name}: {when}"
    assert SITES


def test_every_script_that_downloads_does_so_with_the_environment_of_its_host(resources: list[Recorded]) -> None:
    downloading = 0
    for command in on_hosts(resources):
        text = script(command)
        if re.search(r"^ *fetch \S+://", text, re.MULTILINE):
            downloading += 1
            assert text.startswith(f"set -a\n# shellcheck source=/dev/null\n. {ENVIRONMENT} || exit\n"), command.name
    assert downloading == 4  # K3s and the mesh, on two hosts


def test_the_way_out_is_there_before_anything_is_downloaded(resources: list[Recorded]) -> None:
    for node in ("behind-a-proxy-a", "behind-a-proxy-b"):
        roles = [one.name.removeprefix(f"{node}-") for one in on_hosts(resources) if one.name.startswith(f"{node}-")]
        assert roles.index("base") < roles.index("network") < roles.index("tailscale") < roles.index("k3s")


def test_what_runs_on_after_the_script_has_the_environment_too(resources: list[Recorded]) -> None:
    for node, service in (("a", "k3s"), ("b", "k3s-agent")):
        for role, unit in (("k3s", service), ("tailscale", "tailscaled")):
            (command,) = [one for one in on_hosts(resources) if one.name == f"behind-a-proxy-{node}-{role}"]
            written = files(script(command))[f"/etc/systemd/system/{unit}.service"]
            assert f"EnvironmentFile=-{ENVIRONMENT}\n" in written


def test_another_login_is_another_input_of_each_program_that_must_start_anew(resources: list[Recorded]) -> None:
    for command in on_hosts(resources):
        if command.name.endswith(("-k3s", "-tailscale", "-network")) and command.name != "behind-a-proxy-k3s":
            given = command.inputs["stdin"]
            assert isinstance(given, Secret)
            assert holds_secret(given.value), command.name


def test_the_login_is_in_no_script_no_trigger_and_no_plain_input(resources: list[Recorded]) -> None:
    for resource in resources:
        for key, value in plain(resource).items():
            if not isinstance(resource.inputs.get(key), Secret) and resource.type == COMMAND and key != "connection":
                assert f"{SECRET_MARK}proxy-login" not in str(value), f"{resource.name}: {key}"
                assert not holds_secret(value), f"{resource.name}: {key}"


def test_k3s_writes_no_login_into_pods_of_its_own_charts(resources: list[Recorded]) -> None:
    """Its Helm controller gives the jobs that it makes the environment of K3s."""
    (server,) = [one for one in on_hosts(resources) if one.name == "behind-a-proxy-a-k3s"]
    assert "disable-helm-controller: true\n" in files(script(server))["/etc/rancher/k3s/config.yaml"]


def test_a_host_is_looked_at_before_it_is_changed(resources: list[Recorded]) -> None:
    for command in on_hosts(resources):
        if command.name.endswith("-facts"):
            assert "proxy.example.com 3128" in script(command)
            assert "command -v update-ca-certificates" in script(command)
