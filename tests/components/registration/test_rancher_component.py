"""A site's registration with Rancher: what Rancher is asked for, what stays secret, and what replaces what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.run import program
from edge.run.program import Configuration
from edge.run.stack_settings import placeholders
from engine.rehearsal.in_process import Recorded, Recording, Secret
from tests.components.registration.rancher_parts import SPEC
from tests.engine_run import Rehearsed, stack

SITES = Path(__file__).parents[3] / "stacks" / "sites"
CLUSTER = "mill-tampere-rancher-cluster"
AGENT = "mill-tampere-rancher-agent"
UID = "mill-tampere-rancher-cluster-uid"


@pytest.fixture(scope="module")
def recording() -> Recording:
    made = recorded()
    assert not made.problems, made.problems
    return made


def recorded() -> Recording:
    config = {f"edge:{key}": value for key, value in placeholders(SPEC).items()}
    return program.recorded(SPEC, Configuration(config, frozenset(config)))


def one(recording: Recording, name: str) -> Recorded:
    return next(resource for resource in recording.resources if resource.name == name)


def test_rancher_does_not_fight_the_upgrades_of_this_program(recording: Recording) -> None:
    cluster = one(recording, CLUSTER)
    assert cluster.type == "rancher2:index/cluster:Cluster"
    assert cluster.inputs["annotations"] == {"rancher.io/imported-cluster-version-management": "false"}
    assert (cluster.inputs["name"], cluster.inputs["fleetWorkspaceName"]) == ("mill-tampere", "mills")


def test_the_server_is_verified_whatever_the_environment_says(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANCHER_INSECURE", "true")
    again = recorded()
    for provider in (one(recording, "mill-tampere-rancher-api"), one(again, "mill-tampere-rancher-api")):
        assert json.loads(provider.inputs["insecure"]) is False
        assert provider.inputs["apiUrl"] == "https://rancher.suomi-paper.example.com"
        assert provider.inputs["caCerts"].startswith("-----BEGIN CERTIFICATE-----")
    assert one(recording, "mill-tampere-rancher-api").urn in one(recording, CLUSTER).provider


def test_token_and_manifest_are_secrets_wherever_they_are(recording: Recording) -> None:
    assert isinstance(one(recording, "mill-tampere-rancher-api").inputs["tokenKey"], Secret)
    assert "clusterRegistrationToken" in one(recording, CLUSTER).additional_secret_outputs
    for name in (AGENT, "mill-tampere-rancher-connected"):
        command = one(recording, name)
        assert isinstance(command.inputs["stdin"], Secret)
        assert {"stdout", "stderr"} <= set(command.additional_secret_outputs)
        assert "rehearsal-not-a-token" not in repr({**command.inputs, "stdin": None})
        assert "triggers" not in command.inputs


def test_the_agent_comes_once_the_server_is_a_node_and_goes_before_the_entry_in_rancher(recording: Recording) -> None:
    uid, cluster, agent = (one(recording, name) for name in (UID, CLUSTER, AGENT))
    assert one(recording, "mill-tampere-a-k3s-member").urn in uid.dependencies
    assert uid.urn in cluster.dependencies
    assert cluster.urn in agent.dependencies, "what depends is deleted first"
    assert agent.urn in one(recording, "mill-tampere-rancher-connected").dependencies
    assert "cattle-system" in agent.inputs["delete"]
    assert agent.deleted_with == cluster.deleted_with == ""
    assert cluster.delete_before_replace is True, "Rancher takes no two clusters of one name"


def test_everything_runs_on_the_first_server(recording: Recording) -> None:
    for name in (UID, AGENT, "mill-tampere-rancher-connected"):
        connection: Any = one(recording, name).inputs["connection"]
        connection = connection.value if isinstance(connection, Secret) else connection
        assert connection["host"] == "10.90.0.11"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsed]:
    """The site, up, in a folder of its own."""
    home = tmp_path_factory.mktemp("rancher")
    sites = home / "sites"
    sites.mkdir()
    for name in ("_defaults.yaml", "mill-tampere.yaml"):
        (sites / name).write_text((SITES / name).read_text())
    with stack(home / "stack", sites / "mill-tampere.yaml") as made:
        made.up()
        yield made


def up(site: Rehearsed) -> str:
    return site.pulumi("up", "--yes", "--non-interactive", "--skip-preview", "--json").stdout


def operations(run: str) -> dict[str, set[str]]:
    """What an update did with each resource, from its JSON events."""
    done: dict[str, set[str]] = {}
    for line in run.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        step = (event.get("resourcePreEvent") or {}).get("metadata")
        if step and step["op"] != "same":
            done.setdefault(step["urn"].rpartition("::")[2], set()).add(step["op"])
    return done


def test_the_state_holds_no_token_in_plain_text(site: Rehearsed) -> None:
    assert "manifestUrl" in json.dumps(site.resources("--show-secrets")), "the entry in Rancher is there"
    assert "rehearsal-not-a-token" in json.dumps(site.resources("--show-secrets"))
    assert "rehearsal-not-a-token" not in site.export()


def with_state(site: Rehearsed, change: Callable[[dict[str, Any]], None]) -> None:
    state = json.loads(site.export("--show-secrets"))
    for resource in state["deployment"]["resources"]:
        if resource["urn"].endswith(f"::{CLUSTER}"):
            change(resource)
    site.pulumi("stack", "import", stdin=json.dumps(state))


def test_a_cluster_that_was_founded_anew_gets_a_new_entry_in_rancher(site: Rehearsed) -> None:
    def founded_before(resource: dict[str, Any]) -> None:
        assert resource["replacementTrigger"], "the identity of the cluster is kept with the entry"
        resource["replacementTrigger"] = "uid-of-the-cluster-before"

    with_state(site, founded_before)
    done = operations(up(site))
    assert {"delete-replaced", "create-replacement"} <= done[CLUSTER]
    assert done.keys() <= {CLUSTER, AGENT, "mill-tampere-rancher-connected"}, "and the agent registers again, at most"


def test_reinstalling_one_server_of_three_replaces_no_entry_in_rancher(site: Rehearsed) -> None:
    file = Path(site.home).parent / "sites" / "mill-tampere.yaml"
    text = file.read_text()
    for old in ("IFJvFODndndKGb/v3CH8C4udcS", "IBDSp1JgVhINfYMPdwqhd+oqky0"):
        file.write_text(text.replace(old, old[:-4] + "AAAA"))
        done = operations(up(site))
        assert any("rancher" not in name for name in done), "the new host key is a change"
        assert CLUSTER not in done
    file.write_text(text)
    site.up()
