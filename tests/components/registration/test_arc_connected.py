"""A registration is done when Azure says so: what is waited for, what is told, and who has access then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components.registration.arc import component
from components.registration.arc.part import PART
from components.registration.arc.plan import GET_CLUSTER, Connectivity, connectivity
from components.registration.arc.spec import ArcSpec
from engine.rehearsal import world
from engine.rehearsal.in_process import record
from tests.components.registration.registration_parts import GROUP, arc
from tests.components.registration.test_arc import _one, _record

CONNECTED = {"connectivityStatus": "Connected", "lastConnectivityTime": "2026-11-27T08:00:00Z"}
COMING = {"connectivityStatus": "Connecting"}
FAULTY = {
    "connectivityStatus": "Connecting",
    "arcAgentProfile": {"agentErrors": [{"component": "config-agent", "message": "no route to host"}]},
}

Answers = Callable[..., list[str]]


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Brings a registration up while Azure gives these answers, one after the other, the last for ever."""

    def up(*answers: dict[str, Any], spec: ArcSpec | None = None) -> list[str]:
        asked: list[dict[str, Any]] = []
        said: list[str] = []

        def answer(token: str, args: Any, _world: Any) -> dict[str, Any]:
            asked.append(dict(args))
            return answers[min(len(asked), len(answers)) - 1]

        def program() -> None:
            made = component.ArcRegistration(
                "berlin-arc",
                component.ArcArgs(spec or arc(), site="berlin"),
                pulumi.ResourceOptions(providers=[_cluster()]),
            )
            made.connected.apply(said.append)

        monkeypatch.setitem(world._FUNCTIONS, GET_CLUSTER, answer)
        monkeypatch.setattr(component, "_ASK_AGAIN_S", 0.0)
        monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
        recording = record(program, project="edge", stack="berlin", config={})
        assert not recording.problems, recording.problems
        assert asked[0] == {"resourceGroupName": "edge-eu", "clusterName": "berlin"}
        return [*said, f"asked {len(asked)}"]

    return up


def _cluster() -> pulumi.ProviderResource:
    import pulumi_kubernetes as kubernetes

    return kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="berlin")


def test_it_waits_until_azure_says_connected(azure: Answers) -> None:
    said, asked = azure({}, COMING, COMING, CONNECTED)
    assert said == "Azure says Connected, last seen at 2026-11-27T08:00:00Z"
    assert asked == "asked 4"


def test_a_cluster_that_never_connects_fails_the_run_in_azures_words(
    azure: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 100))
    monkeypatch.setattr(component, "_clock", lambda: next(clock))
    with pytest.raises(pulumi.RunError) as failed:
        azure(COMING, FAULTY, spec=arc(connect_minutes=5))
    assert "berlin is not connected to Azure after 5 min" in str(failed.value)
    assert "Azure says Connecting; config-agent: no route to host" in str(failed.value)


def test_a_cluster_whose_identity_has_ended_fails_at_once(azure: Answers) -> None:
    with pytest.raises(pulumi.RunError, match="Azure says Expired"):
        azure({"connectivityStatus": "Expired"}, CONNECTED)


def test_a_site_without_an_uplink_is_not_waited_for(azure: Answers) -> None:
    offline = {"connectivityStatus": "Offline", "lastConnectivityTime": "2026-11-20T08:00:00Z"}
    said, asked = azure(offline, CONNECTED)
    assert said == "Azure says Offline, last seen at 2026-11-20T08:00:00Z"
    assert asked == "asked 1"


@pytest.mark.parametrize("status", [None, "", "AgentNotInstalled", "SomethingNew"])
def test_a_word_that_is_not_known_is_no_connection(status: str | None) -> None:
    assert connectivity({"connectivityStatus": status})[0] is Connectivity.COMING


def test_members_of_the_groups_change_what_runs_in_the_cluster() -> None:
    recording = _record(arc(admin_groups=[GROUP]))
    roles = {"berlin-arc-admins": "edit", "berlin-arc-admins-see": "edge-arc-admins-see"}
    for name, role in roles.items():
        binding = _one(recording, name).inputs
        assert binding["roleRef"]["name"] == role
        assert [(one["kind"], one["name"]) for one in binding["subjects"]] == [("Group", GROUP)]
    (rule,) = _one(recording, "berlin-arc-admins-see-role").inputs["rules"]
    assert set(rule["verbs"]) == {"get", "list", "watch"}
    assert not any("arc-admins" in one.name for one in _record(arc()).resources)


def test_namespaces_of_extensions_are_exempt_where_there_is_a_reason() -> None:
    spec = arc(extension_namespaces={"azuremonitor-containers": "its agent reads all logs"})
    assert set(PART.exempt_namespaces(spec)) - set(PART.exempt_namespaces(arc())) == {"azuremonitor-containers"}
    with pytest.raises(ValueError, match="extension_namespaces"):
        arc(extension_namespaces={"azuremonitor-containers": ""})


def test_what_azure_needs_before_is_told_with_the_command_that_makes_it() -> None:
    wanted = {one.name: one for one in PART.preconditions(arc())}
    for provider in ("Microsoft.Kubernetes", "Microsoft.KubernetesConfiguration", "Microsoft.ExtendedLocation"):
        assert wanted[f"Azure provider {provider}"].remedy.startswith(f"az provider register --namespace {provider} ")
    assert "Azure Arc Onboarding" in wanted["role at edge-eu"].remedy
