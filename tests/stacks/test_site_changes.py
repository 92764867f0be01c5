"""What a change of a site file changes, by the real engine's own account."""

from __future__ import annotations

import copy

import pytest

from stacks.catalogue import PROJECT_ROOT
from tests.edge.conftest import Project, project

__all__ = ["project"]

pytestmark = pytest.mark.engine

AGENT = {
    "name": "d",
    "hardware": "poweredge-xr4000",
    "address": "10.20.0.14",
    "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGgfvX0m4l3N9oYzVY0m3rT2mJ6k8Qw7p1fZ5c2b9d4e",
    "role": "agent",
}


@pytest.fixture
def prod(project: Project) -> Project:
    """The reference site, up, in a project whose site file a test may change."""
    for name in ("_defaults", "prod"):
        source = PROJECT_ROOT / "stacks" / "sites" / f"{name}.yaml"
        (project.sites / source.name).write_text(source.read_text())
    done = project.edge("up", "prod", "--rehearse", "--json")
    assert done.code == 0, done.stdout + done.stderr
    return project


def changed(project: Project) -> dict[str, str]:
    """Name -> operation of every resource that a preview would touch."""
    ran = project.edge("preview", "prod", "--rehearse", "--json")
    assert ran.code == 0, ran.stdout + ran.stderr
    return {r["name"]: r["op"] for r in ran.document["resources"] if r["op"] != "same"}


def test_a_k3s_version_for_one_host_updates_and_confirms_that_hosts_k3s_and_replaces_nothing(prod: Project) -> None:
    prod.change("prod", lambda site: site["hosts"][1].update(k3s_version="v1.37.1+k3s1"))
    # The cluster's component tells policies of one more configuration; it does nothing on a host.
    assert changed(prod) == {"prod-k3s": "update", "prod-b-k3s": "update", "prod-b-k3s-member": "update"}


def test_a_host_is_applied_again_in_place_and_alone(prod: Project) -> None:
    prod.change("prod", lambda site: site["hosts"][0].update(reapply="2026-11-24"))
    # Another server says again which CA the cluster has; it forgets nothing.
    parts = ("reachable", "facts", "base", "tailscale", "k3s-admit", "k3s")
    assert changed(prod) == {f"prod-a-{part}": "update" for part in parts}


def test_a_new_agent_creates_its_own_resources_and_touches_no_other(prod: Project) -> None:
    prod.change("prod", lambda site: site["hosts"].append(copy.deepcopy(AGENT)))
    found = changed(prod)
    assert set(found.values()) == {"create"}, found
    assert {name for name in found if not (name == "prod-d" or name.startswith("prod-d-"))} == set()
    assert {"prod-d", "prod-d-reachable", "prod-d-k3s", "prod-d-k3s-member", "prod-d-telemetry"} <= found.keys()


def test_an_agent_that_leaves_takes_its_own_resources_with_it_and_no_other(prod: Project) -> None:
    prod.change("prod", lambda site: site["hosts"].append(copy.deepcopy(AGENT)))
    assert prod.edge("up", "prod", "--rehearse", "--json").code == 0
    prod.change("prod", lambda site: site["hosts"].pop())
    found = changed(prod)
    assert set(found.values()) == {"delete"}, found
    assert all(name == "prod-d" or name.startswith("prod-d-") for name in found)


def test_a_new_kubeconfig_replaces_nothing_in_the_cluster(prod: Project) -> None:
    prod.change("prod", lambda site: site["k3s"].update(api_address="10.20.0.9"))
    found = changed(prod)
    assert found["prod-k3s-kubeconfig"] == "update"
    assert found["prod-k3s-cluster"] == "update", "the provider takes the new kubeconfig"
    assert not [name for name, op in found.items() if op in ("replace", "create", "delete")], found


def test_a_reimaged_host_is_reached_admitted_and_installed_again_without_replacing_its_k3s(prod: Project) -> None:
    prod.change("prod", lambda site: site["hosts"][0].update(host_key=AGENT["host_key"]))
    found = changed(prod)
    assert found["prod-a-reachable"] == "replace"
    assert found["prod-a-k3s-admit"] == "replace"
    assert found["prod-a-k3s"] == "update"
    assert found["prod-a-k3s-member"] == "update", "`up` waits until it is Ready again"
    assert found["prod-k3s-birth"] == "update", "an update of the permit runs a script that does nothing"


def test_a_reimaged_host_gets_its_labels_again_since_its_node_is_a_new_one(prod: Project) -> None:
    prod.change("prod", lambda site: site["hosts"][2].update(host_key=AGENT["host_key"]))
    assert changed(prod)["prod-c-inference"] == "update"


def test_a_secret_that_changes_replaces_nothing(prod: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.run.stack_settings.PLACEHOLDER", "another-placeholder-")
    found = changed(prod)
    assert found
    # The provider replaces a Secret object whose data changes; nothing else may go.
    assert {name for name, op in found.items() if op == "replace"} <= {
        "prod-flux-credentials",
        "prod-flux-age-key",
        "prod-telemetry-credentials",
    }
