"""Collectors as resources: a host's are its own, and the token is a secret."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.core.v1 import ConfigMap
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.host.component import Host, HostArgs
from components.host.machine import Machine
from components.telemetry.component import Telemetry, TelemetryArgs
from engine.rehearsal.in_process import Recorded, Recording, Secret, record
from tests.components.cluster_objects import image
from tests.components.site_parts import machine
from tests.components.telemetry.test_telemetry_plan import NAME, berlin, spec

A = machine("a", site=NAME)
B = machine("b", site=NAME)


def run(*hosts: Machine, **changes: Any) -> Recording:
    def program() -> None:
        cluster = kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="warehouse-berlin-01")
        metadata = ObjectMetaArgs(name="node", namespace="kube-system")
        options = pulumi.ResourceOptions(provider=cluster)
        joined = {host.name: ConfigMap(f"{host.name}-joined", metadata=metadata, opts=options) for host in hosts}
        on_hosts = {}
        if changes.get("host_health"):
            on_hosts = {host.name: Host(host.node, HostArgs(host, lambda key: key, stack="0")) for host in hosts}
        Telemetry(
            "warehouse-berlin-01-telemetry",
            TelemetryArgs(spec(**changes), berlin(*hosts), token="TOKEN-MARKER", joined=joined, hosts=on_hosts),
            pulumi.ResourceOptions(providers=[cluster]),
        )

    return record(program, project="edge", stack="warehouse-berlin-01", config={}, secret_keys=())


def by_name(recording: Recording) -> dict[str, Recorded]:
    return {resource.name: resource for resource in recording.resources}


def test_the_rehearsal_finds_nothing_wrong() -> None:
    assert run(A, B).problems == ()


def test_another_host_adds_its_collector_and_changes_nothing() -> None:
    before, after = by_name(run(A)), by_name(run(A, B))
    assert set(after) - set(before) == {"warehouse-berlin-01-b-telemetry", "b-joined"}
    assert {name: after[name] for name in before} == before


def test_another_host_adds_the_volume_of_its_own_logs_and_changes_nothing() -> None:
    before, after = by_name(run(A, pod_logs={})), by_name(run(A, B, pod_logs={}))
    own = {f"warehouse-berlin-01-b-{role}" for role in ("telemetry", "pod-logs", "pod-logs-claim")}
    assert set(after) - set(before) == {*own, "b-joined"}
    assert {name: after[name] for name in before} == before
    assert run(A, B, pod_logs={}).problems == ()


HEALTH = {"host_health": True, "tools_image": image("busybox")}


def test_a_collector_waits_for_the_folder_that_its_host_writes_into() -> None:
    made = by_name(run(A, B, **HEALTH))
    command = made["warehouse-berlin-01-a-health"]
    assert any("a-joined" in urn for urn in command.dependencies), "it is removed before the node is"
    waiting = made["warehouse-berlin-01-a-telemetry"].dependencies
    assert any(urn.endswith("::warehouse-berlin-01-a-health") for urn in waiting)
    assert not any("::warehouse-berlin-01-b-" in urn for urn in waiting)


def test_what_looks_at_a_host_goes_with_the_field_and_leaves_hosts_of_others_alone() -> None:
    made, plain = by_name(run(A, **HEALTH)), by_name(run(A, tools_image=HEALTH["tools_image"]))
    assert {name for name in set(made) - set(plain) if "health" in name} == {
        f"warehouse-berlin-01-a-{role}" for role in ("health", "host-health", "host-health-claim")
    }
    inputs = made["warehouse-berlin-01-a-health"].inputs
    assert "edge-host-health.timer" in inputs["create"]
    assert "acts_on_own_name" in inputs["delete"]


def test_events_add_their_rights_for_the_whole_site_and_another_host_changes_none_of_them() -> None:
    before, after = by_name(run(A, events={})), by_name(run(A, B, events={}))
    own = {f"warehouse-berlin-01-telemetry-events-{role}" for role in ("role", "role-binding")}
    own |= {f"warehouse-berlin-01-telemetry-events-lease-{role}" for role in ("role", "role-binding")}
    assert set(before) - set(by_name(run(A))) == own
    assert {name: after[name] for name in before} == before
    assert run(A, B, events={}).problems == ()


def test_a_collector_waits_for_its_own_host_only() -> None:
    recording = run(A, B)
    collector = by_name(recording)["warehouse-berlin-01-a-telemetry"]
    assert any("a-joined" in urn for urn in collector.dependencies)
    assert not any("b-joined" in urn for urn in collector.dependencies)


def test_the_token_is_marked_even_when_it_was_given_as_plain_text() -> None:
    recording = run(A)
    secret = by_name(recording)["warehouse-berlin-01-telemetry-credentials"].inputs["stringData"]
    assert isinstance(secret, Secret) or isinstance(secret["token"], Secret)
    others = [item for item in recording.resources if item.name != "warehouse-berlin-01-telemetry-credentials"]
    assert "TOKEN-MARKER" not in repr(others)
