"""Logs of pods and names of workloads: only where asked for, few attributes, no secrets, no host folder in a pod."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.manifests import Manifest
from components.telemetry import plan as telemetry
from components.telemetry import pod_logs
from tests.components.cluster_objects import as_yaml, findings
from tests.components.telemetry.test_telemetry_plan import XR4000, configuration, manifests, planned, spec
from tests.policies.test_secret_patterns import TEXTS

ASKED = spec(pod_logs={}, workload_names=True)
IDENTITIES = {"k8s.pod.uid", "k8s.container.restart_count", "log.file.path", "log.file.name", "logtag", "time"}
"""What the collector knows of a line, and every start of a pod makes anew."""


def pod() -> dict[str, Any]:
    found: dict[str, Any] = telemetry.collector_of(ASKED, planned(ASKED), XR4000)["spec"]["template"]["spec"]
    return found


def objects() -> list[Manifest]:
    return manifests(ASKED, planned(ASKED))


def test_a_site_that_does_not_ask_has_neither_volume_nor_right_nor_receiver() -> None:
    plain = planned(spec())
    assert telemetry.folders_of(spec(), XR4000) == {}
    assert plain.cluster_role["rules"] == [{"apiGroups": [""], "resources": ["nodes/stats"], "verbs": ["get"]}]
    assert "file_log" not in plain.configuration
    assert "k8s_attributes" not in plain.configuration


def test_every_object_passes_every_policy() -> None:
    assert [found for item in objects() for found in findings(item)] == []


def test_no_pod_mounts_a_folder_of_its_host() -> None:
    assert "hostPath" not in as_yaml(objects())


def test_the_folder_is_read_only_for_one_claim_of_its_own_host() -> None:
    volume, claim = telemetry.folders_of(ASKED, XR4000).values()
    assert volume["spec"]["local"] == {"path": "/var/log/pods"}
    assert volume["spec"]["mountOptions"] == ["ro"]
    assert volume["spec"]["claimRef"] == {name: claim["metadata"][name] for name in ("namespace", "name")}
    assert XR4000.kubernetes_node in as_yaml([volume["spec"]["nodeAffinity"]])
    # The kubelet would give a volume that may be written to the pod's group, file by file.
    assert [each["persistentVolumeClaim"] for each in pod()["volumes"] if "persistentVolumeClaim" in each] == [
        {"claimName": claim["metadata"]["name"], "readOnly": True}
    ]


def test_reading_goes_on_where_it_ended_and_waits_for_room_in_the_queue() -> None:
    receiver = configuration(planned(ASKED))["receivers"]["file_log"]
    assert receiver["storage"] == "file_storage"
    assert receiver["start_at"] == "beginning"
    assert receiver["retry_on_failure"]["enabled"] is True
    assert receiver["retry_on_failure"]["max_elapsed_time"] == "0s"


@pytest.mark.parametrize("namespaces", [(), ("kube-system", "noisy")])
def test_own_logs_and_those_of_excluded_namespaces_are_not_read(namespaces: tuple[str, ...]) -> None:
    asked = spec(pod_logs={"exclude_namespaces": namespaces})
    receiver = configuration(planned(asked))["receivers"]["file_log"]
    assert receiver["exclude"] == [f"/var/log/pods/{name}_*/*/*.log" for name in ("edge-telemetry", *namespaces)]


def test_a_line_keeps_no_attribute_but_those_of_the_list() -> None:
    for asked in (ASKED, spec(pod_logs={})):
        document = configuration(planned(asked))
        redaction = document["processors"]["redaction"]
        assert redaction["allow_all_keys"] is False
        assert not IDENTITIES & set(redaction["allowed_keys"])
        assert len(redaction["allowed_keys"]) <= 9
        processors = document["service"]["pipelines"]["logs/pods"]["processors"]
        assert processors.index("redaction") < processors.index("resource"), "what the site adds stays"


def test_all_that_reads_pods_sends_through_the_redaction_into_the_queue_that_is_sized_for_logs() -> None:
    pipelines = configuration(planned(ASKED))["service"]["pipelines"]
    readers = [each for each in pipelines.values() if "file_log" in each["receivers"]]
    assert [("redaction" in each["processors"], each["exporters"]) for each in readers] == [(True, ["otlp_http/logs"])]


def masked(line: str) -> str:
    for expression in pod_logs.secrets().values():
        line = re.sub(expression, "****", line)
    return line


@pytest.mark.parametrize("text", [text for _, text in TEXTS])
def test_what_a_site_file_may_not_hold_is_masked_in_a_line(text: str) -> None:
    found = masked(f"level=info msg={text} done")
    assert "****" in found
    assert found.startswith("level=info msg=")
    secret = text.rpartition("//")[2].partition("@")[0] if "@" in text else text
    assert secret not in found


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ('{"password":"hunter2hunter2","user":"a"}', '{"****","user":"a"}'),
        ("DB_PASSWORD=hunter2hunter2 started", "DB_****"),
        ("Authorization: Bearer abcdefgh12345678", "****"),
        ("api_key: abcdefgh12345678", "****"),
        ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj", "****"),
    ],
)
def test_a_secret_that_its_name_or_its_place_tells_is_masked(line: str, sent: str) -> None:
    assert masked(line).startswith(sent)


@pytest.mark.parametrize(
    "line",
    [
        'pulled image "docker.io/x/y@sha256:' + "0" * 64 + '"',
        'secret "flux-system/source" not found',
        "GET /healthz 200 in 3 ms",
        "token expired, asking for another one",
    ],
)
def test_a_line_without_a_secret_stays(line: str) -> None:
    assert masked(line) == line


def test_a_dollar_of_an_expression_is_no_variable_of_the_collector() -> None:
    for expression in configuration(planned(ASKED))["processors"]["redaction"]["blocked_values"]:
        assert "$" not in expression.replace("$$", "")


def test_expressions_are_such_that_go_has_them() -> None:
    assert [each for each in pod_logs.secrets().values() if re.search(r"\(\?<?[=!]", each)] == []


def test_names_of_workloads_take_the_right_to_read_pods_and_no_other() -> None:
    assert planned(spec(pod_logs={})).cluster_role == planned(spec()).cluster_role
    rules = planned(spec(workload_names=True)).cluster_role["rules"]
    assert rules[1:] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]


def test_a_collector_asks_for_the_pods_of_its_own_node_only() -> None:
    document = configuration(planned(ASKED))
    assert document["processors"]["k8s_attributes"]["filter"] == {"node_from_env_var": "K8S_NODE_NAME"}
    for name, pipeline in document["service"]["pipelines"].items():
        assert ("k8s_attributes" in pipeline["processors"]) == (not name.startswith("metrics")), (
            "a pod's name on metrics makes new series at each start"
        )


def test_a_host_that_is_added_changes_no_volume_of_another() -> None:
    names = {item["metadata"]["name"] for item in telemetry.folders_of(ASKED, XR4000).values()}
    assert names == {"edge-pod-logs-a", "pod-logs-a"}
