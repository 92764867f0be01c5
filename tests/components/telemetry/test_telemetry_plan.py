"""Collectors: what they measure, what they keep while the uplink is away, and what they may reach."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.host.machine import Machine
from components.inference.triton.part import PART as TRITON
from components.manifests import Manifest
from components.telemetry import collector
from components.telemetry import plan as telemetry
from components.telemetry.part import PART
from components.telemetry.plan import TelemetryPlan
from components.telemetry.spec import TelemetrySpec
from components.view import Scrape, Site
from tests.components.cluster_objects import as_yaml, findings, image, problems
from tests.components.inference.test_inference_plan import spec as triton
from tests.components.site_parts import machine, site_of

NAME = "warehouse-berlin-01"
GRAFANA = "https://otlp-gateway-prod-eu-west-2.grafana.net/otlp"
XR4000 = machine("a", site=NAME)
PI = machine("hall", site=NAME, figures={"memory_mib": 512})
OF_TRITON = tuple(TRITON.scrapes(triton()))


def spec(**changes: Any) -> TelemetrySpec:
    return TelemetrySpec.model_validate(
        {"gateway": GRAFANA, "instance_id": "123456", "image": image("collector"), **changes}
    )


def berlin(*machines: Machine, scrapes: tuple[Scrape, ...] = OF_TRITON) -> Site:
    return site_of(*machines, name=NAME, labels={"customer": "acme"}, scrapes=scrapes)


def planned(telemetry_spec: TelemetrySpec, scrapes: tuple[Scrape, ...] = OF_TRITON) -> TelemetryPlan:
    return telemetry.plan(telemetry_spec, berlin(scrapes=scrapes))


def configuration(plan: TelemetryPlan) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(plan.configuration, Loader=yaml.CSafeLoader)
    return document


def manifests(telemetry_spec: TelemetrySpec, plan: TelemetryPlan) -> list[Manifest]:
    return [
        plan.namespace,
        *plan.network_policies,
        plan.service_account,
        plan.cluster_role,
        plan.cluster_role_binding,
        *plan.of_events.values(),
        plan.config_map,
        telemetry.credentials("placeholder"),
        plan.service,
        *(telemetry.collector_of(telemetry_spec, plan, host) for host in (XR4000, PI)),
        *telemetry.folders_of(telemetry_spec, XR4000).values(),
    ]


GATEWAY_AT_SITE = spec(gateway="https://collect.example.com:4318", instance_id=None, offline_hours=72)
CASES: dict[str, tuple[TelemetrySpec, tuple[Scrape, ...]]] = {
    "grafana-with-triton": (spec(), OF_TRITON),
    "own-gateway-without-triton": (GATEWAY_AT_SITE, ()),
    "with-tools": (spec(tools_image=image("busybox")), ()),
    "with-host-health": (spec(tools_image=image("busybox"), host_health=True), ()),
    "with-containers": (spec(containers=True), ()),
    "with-pod-logs": (spec(pod_logs={"exclude_namespaces": ["kube-system"]}, workload_names=True), ()),
    "with-events": (spec(events={"namespaces": ["default", "edge-inference"]}), ()),
}


@pytest.mark.parametrize("name", CASES)
def test_manifests_and_configuration_are_the_reviewed_ones(name: str, golden: Callable[[str, str], None]) -> None:
    telemetry_spec, scrapes = CASES[name]
    plan = planned(telemetry_spec, scrapes)
    golden(f"telemetry/{name}/objects.yaml", as_yaml(manifests(telemetry_spec, plan)))
    golden(f"telemetry/{name}/collector.yaml", plan.configuration)


@pytest.mark.parametrize("name", CASES)
def test_an_api_server_accepts_every_object(name: str) -> None:
    telemetry_spec, scrapes = CASES[name]
    objects = manifests(telemetry_spec, planned(telemetry_spec, scrapes))
    assert [(item["kind"], problem) for item in objects for problem in problems(item)] == []


def test_every_object_passes_every_policy() -> None:
    telemetry_spec = spec()
    assert [found for item in manifests(telemetry_spec, planned(telemetry_spec)) for found in findings(item)] == []


def test_addresses_of_ipv6_are_in_brackets_where_a_port_follows() -> None:
    site = replace(berlin(), prefers_ipv6=True)
    plain, bracketed = (
        configuration(plan) for plan in (planned(spec(containers=True)), telemetry.plan(spec(containers=True), site))
    )
    assert json.dumps(bracketed) == json.dumps(plain).replace("${env:POD_IP}", "[${env:POD_IP}]").replace(
        "${env:K8S_NODE_IP}", "[${env:K8S_NODE_IP}]"
    )
    assert bracketed["extensions"]["health_check"]["endpoint"] == "[${env:POD_IP}]:13133"
    assert bracketed["receivers"]["kubelet_stats"]["endpoint"] == "https://[${env:K8S_NODE_IP}]:10250"


def test_hosts_are_measured_every_30_s_and_triton_every_15_s() -> None:
    receivers = configuration(planned(spec()))["receivers"]
    assert receivers["host_metrics"]["collection_interval"] == "30s"
    jobs = {job["job_name"]: job for job in receivers["prometheus"]["config"]["scrape_configs"]}
    assert jobs["inference-server"]["scrape_interval"] == "15s"


def test_a_collector_scrapes_only_the_triton_of_its_own_node() -> None:
    jobs = configuration(planned(spec()))["receivers"]["prometheus"]["config"]["scrape_configs"]
    (discovery,) = next(job for job in jobs if job["job_name"] == "inference-server")["kubernetes_sd_configs"]
    assert discovery["namespaces"] == {"names": ["edge-inference"]}
    assert discovery["selectors"] == [{"role": "pod", "field": "spec.nodeName=${env:K8S_NODE_NAME}"}]


def test_a_site_without_models_has_no_scrape_of_triton_and_no_way_to_its_namespace() -> None:
    plan = planned(spec(), ())
    jobs = configuration(plan)["receivers"]["prometheus"]["config"]["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["otel-collector"]
    assert "edge-inference" not in as_yaml(plan.network_policies)


def test_nothing_queued_is_given_up_and_the_queue_outlives_a_power_cut() -> None:
    document = configuration(planned(spec()))
    assert document["extensions"]["file_storage"]["fsync"] is True
    for exporter in document["exporters"].values():
        assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
        assert exporter["sending_queue"]["storage"] == "file_storage"
        assert exporter["sending_queue"]["sizer"] == "bytes"


def test_no_batch_is_held_in_memory_before_the_queue_and_memory_is_limited_first() -> None:
    for pipeline in configuration(planned(spec()))["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        assert "batch" not in pipeline["processors"]


def test_refused_data_is_itself_reported() -> None:
    jobs = configuration(planned(spec()))["receivers"]["prometheus"]["config"]["scrape_configs"]
    own = next(job for job in jobs if job["job_name"] == "otel-collector")
    (keep,) = own["metric_relabel_configs"]
    assert "enqueue_failed" in keep["regex"]


def test_the_configuration_refers_only_to_what_it_defines() -> None:
    document = configuration(planned(spec()))
    service = document["service"]
    assert set(service["extensions"]) == set(document["extensions"])
    pipelines = service["pipelines"].values()
    for part in ("receivers", "processors", "exporters"):
        assert {name for pipeline in pipelines for name in pipeline[part]} == set(document[part])
    for exporter in document["exporters"].values():
        assert exporter["auth"]["authenticator"] in document["extensions"]


def test_the_queues_hold_the_stated_rate_for_the_stated_hours() -> None:
    sizes = {queue.signal: queue.size_bytes for queue in collector.queues(spec(offline_hours=24))}
    assert sizes == {"metrics": 4 * 1024 * 86400, "logs": 4 * 1024 * 86400, "traces": 2 * 1024 * 86400}
    assert collector.volume_mib(spec(offline_hours=24)) == 2304


@pytest.mark.parametrize(
    ("gateway", "written", "offline", "window", "lost"),
    [
        (GRAFANA, None, 24, 2, 22),
        (GRAFANA, None, 2, 2, 0),
        (GRAFANA, 24, 24, 24, 0),
        (GRAFANA, 12, 24, 12, 12),
        ("https://OTLP-GATEWAY.GRAFANA.NET:443/otlp", None, 3, 2, 1),
        ("https://grafana.net.example.com", None, 24, None, 0),
        ("https://prometheus.example.com", None, 720, None, 0),
        ("https://prometheus.example.com", 6, 24, 6, 18),
    ],
)
def test_metrics_older_than_the_gateways_window_are_lost(
    gateway: str, written: int | None, offline: int, window: int | None, lost: int
) -> None:
    written_spec = spec(gateway=gateway, offline_hours=offline, out_of_order_hours=written)
    assert (written_spec.window_hours, written_spec.lost_hours) == (window, lost)


def test_the_window_of_the_defaults_gateway_is_not_taken_for_another_gateways() -> None:
    assert PART.belongs_to["out_of_order_hours"] == "gateway"


rates = st.floats(min_value=0.01, max_value=10240)


@given(hours=st.integers(1, 720), metrics=rates, logs=rates, traces=rates)
def test_the_volume_holds_full_queues_twice(hours: int, metrics: float, logs: float, traces: float) -> None:
    sized = spec(offline_hours=hours, rate={"metrics": metrics, "logs": logs, "traces": traces})
    sizes = {queue.signal: queue.size_bytes for queue in collector.queues(sized)}
    for signal, rate in {"metrics": metrics, "logs": logs, "traces": traces}.items():
        assert sizes[signal] == pytest.approx(rate * 1024 * hours * 3600, abs=1)
    assert collector.volume_mib(sized) * 1024 * 1024 >= 2 * sum(sizes.values())


def test_a_batch_fits_even_the_smallest_queue() -> None:
    smallest = spec(offline_hours=1, rate={"metrics": 0.01, "logs": 0.01, "traces": 0.01})
    for exporter in configuration(planned(smallest))["exporters"].values():
        queue = exporter["sending_queue"]
        assert queue["batch"]["min_size"] <= queue["queue_size"] < 256 * 1024


def test_the_token_is_read_from_a_file_and_is_in_no_configuration() -> None:
    document = configuration(planned(spec()))
    assert document["extensions"]["basicauth"] == {
        "client_auth": {"username": "123456", "password_file": collector.TOKEN_FILE}
    }
    bearer = configuration(planned(spec(instance_id=None)))
    assert bearer["extensions"]["bearertokenauth"] == {"scheme": "Bearer", "filename": collector.TOKEN_FILE}
    assert [need.key for need in PART.secrets(spec())] == ["telemetry-token"]


def test_a_dollar_in_a_url_is_refused_and_never_taken_for_a_variable_of_the_collector() -> None:
    # Past the spec's own check.
    with pytest.raises(ValueError, match=r"`\$` cannot be in a URL here"):
        planned(spec().model_copy(update={"gateway": "https://collect.example.com/a$b"}))


def test_a_changed_configuration_replaces_the_pod_and_an_equal_one_does_not() -> None:
    def annotations(telemetry_spec: TelemetrySpec) -> Any:
        plan = planned(telemetry_spec)
        return telemetry.collector_of(telemetry_spec, plan, XR4000)["spec"]["template"]["metadata"]["annotations"]

    assert annotations(spec()) == annotations(spec())
    assert annotations(spec()) != annotations(spec(instance_id="654321"))


def test_nothing_shared_names_a_host() -> None:
    plan = planned(spec())
    shared = as_yaml(manifests(spec(), plan)[:-2])
    assert XR4000.node not in shared
    assert f"otel-{XR4000.name}\n" not in shared


def test_a_collector_is_held_to_its_node_and_small_hosts_give_it_less() -> None:
    plan = planned(spec())
    big, small = (telemetry.collector_of(spec(), plan, host) for host in (XR4000, PI))
    assert big["metadata"]["name"] == "otel-a"
    assert big["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/hostname": XR4000.node}
    limit = small["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    assert limit == "160Mi"


def test_the_collector_may_read_node_statistics_and_nothing_else_of_the_cluster() -> None:
    assert planned(spec()).cluster_role["rules"] == [
        {"apiGroups": [""], "resources": ["nodes/stats"], "verbs": ["get"]}
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"gateway": "http://collect.example.com"},
        {"gateway": "https://user:password@collect.example.com"},
        {"offline_hours": 0},
        {"image": "docker.io/otel/opentelemetry-collector-contrib:0.159.0"},
        {"rate": {"metrics": 0}},
        {"token": "glc_x"},
    ],
)
def test_a_spec_that_would_lose_data_or_leak_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**wrong)


@pytest.mark.parametrize(
    ("name", "renamed_from", "refused"),
    [
        ("h" * 47, None, None),
        ("h" * 48, None, "name"),
        ("short", "h" * 48, "renamed_from"),
        ("h" * 48, "short", None),
    ],
)
def test_a_host_whose_collector_kubernetes_could_not_make_is_refused(
    name: str, renamed_from: str | None, refused: str | None
) -> None:
    host = machine(name, site=NAME, renamed_from=renamed_from)
    found = [finding.path for finding in PART.rules(spec(out_of_order_hours=24), ("telemetry",), berlin(host))]
    assert found == ([("hosts", 0, refused)] if refused else [])
    assert (len(f"{telemetry.NAME}-{host.installed_name}") > 52) == bool(refused)


def test_series_of_hosts_and_sites_differ_in_job_or_instance() -> None:
    """Of a resource a store like Prometheus keeps these two only. The node's name begins with the site's."""
    document = configuration(planned(spec(tools_image=image("busybox"))))
    inserted = {
        entry["key"]: entry["value"]
        for entry in document["processors"]["resource"]["attributes"]
        if entry["action"] == "insert"
    }
    assert inserted == {
        "service.namespace": NAME,
        "service.name": "edge-host",
        "service.instance.id": "${env:K8S_NODE_NAME}",
    }
    for job in document["receivers"]["prometheus"]["config"]["scrape_configs"]:
        instances = [each for each in job["relabel_configs"] if each.get("target_label") == "instance"]
        assert [each["replacement"].partition("/")[0] for each in instances] == ["${env:K8S_NODE_NAME}"], job[
            "job_name"
        ]


def test_a_request_that_is_refused_whole_is_small() -> None:
    for exporter in configuration(planned(spec()))["exporters"].values():
        assert exporter["sending_queue"]["batch"]["max_size"] <= 256 * 1024


def test_containers_are_measured_only_where_a_site_asks_and_take_no_further_right() -> None:
    plain, asked = planned(spec()), planned(spec(containers=True))
    assert "kubelet_stats/containers" not in configuration(plain)["receivers"]
    assert asked.cluster_role == plain.cluster_role
    assert asked.network_policies == plain.network_policies


def test_what_is_measured_of_containers_has_few_series_that_differ_in_labels_of_their_own() -> None:
    document = configuration(planned(spec(containers=True)))
    receiver = document["receivers"]["kubelet_stats/containers"]
    assert receiver["metric_groups"] == ["pod", "container"]
    assert not any(setting["enabled"] for setting in receiver["metrics"].values())
    pipeline = document["service"]["pipelines"]["metrics/containers"]
    assert pipeline["exporters"] == ["otlp_http/metrics"], "the queue that is sized for metrics"
    assert pipeline["processors"].index("transform") < pipeline["processors"].index("resource")
    (statements,) = (each["statements"] for each in document["processors"]["transform"]["metric_statements"])
    for label in ("k8s.namespace.name", "k8s.pod.name", "k8s.container.name"):
        assert any(f'set(attributes["{label}"]' in statement for statement in statements)
