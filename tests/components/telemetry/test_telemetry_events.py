"""Kubernetes events: only where asked for, read once, with two small rights, few attributes and no secrets."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from components.telemetry import events
from components.telemetry import plan as telemetry
from tests.components.cluster_objects import findings
from tests.components.telemetry.test_telemetry_plan import PI, XR4000, configuration, manifests, planned, spec

ASKED = spec(events={})
IDENTITIES = {
    "k8s.object.uid",
    "k8s.object.resource_version",
    "k8s.event.uid",
    "k8s.event.name",
    "k8s.event.start_time",
}
"""What the receiver knows of an event, and each event or each change of its object makes anew."""


def pipeline(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = [each for each in document["service"]["pipelines"].values() if events.RECEIVER in each["receivers"]]
    return dict(found)


def test_a_site_that_does_not_ask_has_neither_right_nor_receiver_nor_lease() -> None:
    plain = planned(spec())
    assert plain.of_events == {}
    assert "k8s_events" not in plain.configuration
    assert "k8s_leader_elector" not in plain.configuration
    assert plain.cluster_role == planned(ASKED).cluster_role


def test_every_object_passes_every_policy() -> None:
    assert [found for item in manifests(ASKED, planned(ASKED)) for found in findings(item)] == []


def test_policies_judge_the_roles_of_events() -> None:
    for role, secrets in (("events-role", True), ("events-lease-role", False)):
        made = planned(ASKED).of_events[role]
        more = {"apiGroups": [""], "resources": ["secrets" if secrets else "*"], "verbs": ["get"]}
        assert findings({**made, "rules": [*made["rules"], more]}), role


def test_events_of_the_cluster_may_be_read_and_nothing_else() -> None:
    role, binding = planned(ASKED).of_events["events-role"], planned(ASKED).of_events["events-role-binding"]
    assert role["kind"] == "ClusterRole"
    assert role["rules"] == [{"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "otel", "namespace": "edge-telemetry"}]


def test_one_lease_of_the_own_namespace_may_be_changed_and_nothing_else() -> None:
    role, binding = planned(ASKED).of_events["events-lease-role"], planned(ASKED).of_events["events-lease-role-binding"]
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "edge-telemetry")
    assert (binding["kind"], binding["metadata"]["namespace"]) == ("RoleBinding", "edge-telemetry")
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {"leases"}
    unnamed = [rule["verbs"] for rule in role["rules"] if "resourceNames" not in rule]
    assert unnamed == [["create"]]
    lease = configuration(planned(ASKED))["extensions"]["k8s_leader_elector"]
    named = [rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule]
    assert (named, lease["lease_namespace"]) == ([[lease["lease_name"]]], "edge-telemetry")


def test_only_the_holder_of_the_lease_reads() -> None:
    document = configuration(planned(ASKED))
    assert document["receivers"]["k8s_events"]["k8s_leader_elector"] == "k8s_leader_elector"
    assert "k8s_leader_elector" in document["service"]["extensions"]


def test_all_hosts_have_the_same_configuration_so_that_any_of_them_can_read() -> None:
    shared = planned(ASKED)
    marks = {
        telemetry.collector_of(ASKED, shared, host)["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for host in (XR4000, PI)
    }
    assert len(marks) == 1


def test_namespaces_that_are_named_are_read_and_no_others() -> None:
    assert "namespaces" not in configuration(planned(ASKED))["receivers"]["k8s_events"]
    some = configuration(planned(spec(events={"namespaces": ["default", "shop"]})))
    assert some["receivers"]["k8s_events"]["namespaces"] == ["default", "shop"]


@pytest.mark.parametrize("wrong", [{"namespaces": ["Not_A_Name"]}, {"types": ["Warning"]}, True])
def test_what_is_no_choice_of_events_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        spec(events=wrong)


def test_an_event_keeps_no_attribute_but_those_of_the_list() -> None:
    redaction = configuration(planned(ASKED))["processors"]["redaction/events"]
    assert redaction["allow_all_keys"] is False
    assert set(redaction["allowed_keys"]) == {
        *("k8s.namespace.name", "k8s.node.name", "k8s.object.kind", "k8s.object.name"),
        *("k8s.event.reason", "k8s.event.count"),
    }
    assert not IDENTITIES & set(redaction["allowed_keys"])


def test_secrets_are_masked_as_in_lines_of_pods() -> None:
    document = configuration(planned(spec(events={}, pod_logs={})))
    both = document["processors"]["redaction"], document["processors"]["redaction/events"]
    assert both[0]["blocked_values"] == both[1]["blocked_values"] != []


def test_events_go_through_the_redaction_into_the_queue_that_is_sized_for_logs() -> None:
    found = pipeline(configuration(planned(ASKED)))
    assert found["processors"] == ["memory_limiter", "redaction/events", "resource/events"]
    assert found["exporters"] == ["otlp_http/logs"]


def test_an_event_is_not_said_to_be_of_the_node_whose_collector_reads_it() -> None:
    processors = configuration(planned(ASKED))["processors"]
    said = {each["key"]: each["value"] for each in processors["resource/events"]["attributes"]}
    assert {"host.name", "k8s.node.name"} & set(said) == set()
    assert said["service.name"] == "kubernetes-events"
    of_host = {each["key"] for each in processors["resource"]["attributes"]}
    assert {"host.name", "k8s.node.name"} <= of_host
    assert {key for key in said if key.startswith("edge.")} == {key for key in of_host if key.startswith("edge.")}
