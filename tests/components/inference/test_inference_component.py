"""Triton as resources: placed before anything is made, and bound to no list of hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest
from pulumi_kubernetes.core.v1 import ConfigMap
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.host.machine import Machine
from components.inference.triton.component import Triton, TritonArgs
from components.inference.triton.spec import TritonSpec
from components.view import Scraper
from engine.rehearsal.in_process import Recorded, Recording, Secret, record
from tests.components.inference.test_inference_plan import CASES, spec
from tests.components.inference.test_placement import PLAIN, XR4000, B
from tests.components.site_parts import machine, site_of

ON_GPU = CASES["gpu-image"][0]
FROM_STORE = CASES["gpu-replicas-s3"][0]


def run(spec: TritonSpec, hosts: Sequence[Machine], **secrets: Any) -> Recording:
    def program() -> None:
        cluster = kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="site")
        metadata = ObjectMetaArgs(name="node", namespace="kube-system")
        options = pulumi.ResourceOptions(provider=cluster)
        args = TritonArgs(
            spec,
            site_of(*hosts, scraper=Scraper("edge-telemetry", "otel")),
            installations={host.name: "1f" for host in hosts},
            joined={host.name: ConfigMap(f"{host.name}-joined", metadata=metadata, opts=options) for host in hosts},
            **secrets,
        )
        Triton("site-inference", args, pulumi.ResourceOptions(providers=[cluster]))

    return record(program, project="edge", stack="site", config={}, secret_keys=())


def by_name(recording: Recording) -> dict[str, Recorded]:
    return {resource.name: resource for resource in recording.resources}


def test_the_rehearsal_finds_nothing_wrong() -> None:
    assert run(ON_GPU, [XR4000, B]).problems == ()
    keys = {"model_store_access_key": "A-MARKER", "model_store_secret_key": "S-MARKER"}
    assert run(FROM_STORE, [XR4000, B], **keys).problems == ()


def test_another_host_that_fits_is_labelled_and_changes_nothing() -> None:
    before, after = by_name(run(ON_GPU, [XR4000])), by_name(run(ON_GPU, [XR4000, B]))
    assert set(after) - set(before) == {"site-b-inference", "b-joined"}
    assert {name: after[name] for name in before} == before


def test_a_host_that_does_not_fit_gets_no_label() -> None:
    assert "site-plain-inference" not in by_name(run(ON_GPU, [XR4000, PLAIN]))


def test_a_label_waits_until_the_host_is_a_node() -> None:
    label = by_name(run(ON_GPU, [XR4000, B]))["site-a-inference"]
    assert label.type == "kubernetes:core/v1:NodePatch"
    assert label.inputs["metadata"]["name"] == "site-a"
    assert [urn.rpartition("::")[2] for urn in label.dependencies] == ["a-joined"]


def test_the_device_plugin_offers_parts_where_mig_cuts_the_gpus_of_a_host() -> None:
    cut = machine("cut", accelerators=["nvidia-h100"], mig="3g.40gb")
    plugins = [by_name(run(ON_GPU, hosts))["site-inference-device-plugin"] for hosts in ([XR4000], [XR4000, cut])]
    assert [plugin.inputs["values"].get("migStrategy") for plugin in plugins] == [None, "single"]


def test_the_device_plugin_is_installed_for_gpus_only() -> None:
    assert by_name(run(ON_GPU, [XR4000]))["site-inference-device-plugin"].inputs["version"] == "0.20.0"
    on_cpu = spec(device="cpu", device_plugin={"version": "0.20.0"})
    assert "site-inference-device-plugin" not in by_name(run(on_cpu, [PLAIN]))


def test_models_that_no_host_can_run_stop_the_program_with_every_reason() -> None:
    with pytest.raises(
        pulumi.RunError, match=r"site: no host can run the models\n.*on plain: needs 1 NVIDIA accelerator"
    ):
        run(ON_GPU, [PLAIN])


def test_store_keys_are_secret_and_asked_for() -> None:
    keys = {"model_store_access_key": "A-MARKER", "model_store_secret_key": "S-MARKER"}
    recording = run(FROM_STORE, [XR4000, B], **keys)
    stored = by_name(recording)["site-inference-store-credentials"].inputs["stringData"]
    assert isinstance(stored, Secret) or all(isinstance(value, Secret) for value in stored.values())
    others = [item for item in recording.resources if item.name != "site-inference-store-credentials"]
    assert "MARKER" not in repr(others)
    with pytest.raises(pulumi.RunError, match="edge:model-store-access-key"):
        run(FROM_STORE, [XR4000, B])
