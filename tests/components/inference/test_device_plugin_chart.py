"""The device plugin's chart with our values: rendered by Helm, read and served by NVIDIA's own program.

The module's release is the newest that the Go registry has; the chart of the release that sites come with differs from
it in comments and in an option that is off (`git diff v0.19.3 v0.20.0 -- deployments/helm`).
"""

from __future__ import annotations

from typing import Any

import pytest

from components.inference import device_plugin
from lab.device_plugin import Heard, heard, plugin_pod, rendered, version
from tests.sandbox import needs_root

IMAGE = f"registry.example.com:5000/nvidia/k8s-device-plugin:v1@sha256:{'1f' * 32}"
SYS_ADMIN = {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}
NOTHING = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def objects(*, mig: bool = False, **fields: Any) -> list[dict[str, Any]]:
    spec = device_plugin.DevicePluginSpec(version=version(), **fields)
    return rendered(device_plugin.chart(spec, mig=mig).values)


def said(**fields: Any) -> Heard:
    return heard(objects(**fields))


def security(**fields: Any) -> dict[str, Any]:
    pod = plugin_pod(objects(**fields))
    return {one["name"]: one.get("securityContext") for one in (*pod.get("initContainers", ()), *pod["containers"])}


@needs_root
def test_the_plugin_reads_no_sharing_where_the_site_asks_for_none() -> None:
    config = said().config
    assert config["sharing"] == {"timeSlicing": {}}
    assert (config["flags"]["migStrategy"], config["flags"]["deviceDiscoveryStrategy"]) == ("none", "auto")


@needs_root
def test_time_slices_are_offered_as_devices_of_which_a_container_gets_one() -> None:
    # Only a Tegra is offered without a driver to ask.
    found = said(time_slices=4, discovery="tegra")
    assert found.config["sharing"]["timeSlicing"]["resources"] == [
        {"name": "nvidia.com/gpu", "devices": "all", "replicas": 4}
    ]
    assert found.offer is not None
    assert (found.offer["resource"], len(found.offer["devices"]), len(found.offer["given"])) == ("nvidia.com/gpu", 4, 1)
    assert "maximum request size for shared resources is 1; found 2" in found.offer["refused"][0]
    whole = said(discovery="tegra").offer
    assert whole is not None
    assert len(whole["devices"]) == 1


@needs_root
@pytest.mark.parametrize("strategy", ["nvml", "tegra"])
def test_discovery_is_what_the_site_says(strategy: str) -> None:
    assert said(discovery=strategy).config["flags"]["deviceDiscoveryStrategy"] == strategy


@needs_root
@pytest.mark.parametrize("slices", [1, 3])
def test_parts_of_gpus_are_offered_under_the_name_of_whole_ones(slices: int) -> None:
    config = said(mig=True, time_slices=slices).config
    assert config["flags"]["migStrategy"] == "single"
    assert config["resources"]["mig"] == [{"pattern": "*", "name": "nvidia.com/gpu"}]


def test_an_image_by_digest_is_the_one_that_runs() -> None:
    mirrored = {"chart": "oci://registry.example.com/charts/nvidia-device-plugin", "repository": None}
    charts: tuple[dict[str, Any], ...] = ({}, mirrored)
    for chart in charts:
        pod = plugin_pod(objects(image=IMAGE, time_slices=2, **chart))
        assert {one["image"] for one in (*pod["initContainers"], *pod["containers"])} == {IMAGE}


def test_the_plugin_has_no_capability_but_one_where_parts_of_gpus_need_it() -> None:
    plugin = "nvidia-device-plugin-ctr"
    assert security() == security(discovery="nvml") == {plugin: NOTHING}
    assert security(mig=True) == {plugin: SYS_ADMIN}
    sliced = security(time_slices=2)
    assert sliced.pop("nvidia-device-plugin-init") is None, "the chart says nothing about it"
    assert sliced == {plugin: NOTHING, "nvidia-device-plugin-sidecar": NOTHING}


def test_what_the_chart_brings_runs_only_on_hosts_that_models_were_placed_on() -> None:
    label = {device_plugin.GPU_LABEL: "true"}
    found = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]["nodeSelector"]
        for one in objects(time_slices=2)
        if one["kind"] == "DaemonSet"
    }
    # The second one is privileged. No host gets its label.
    mps = {"nvidia.com/mps.capable": "true"}
    assert found == {"nvidia-device-plugin": label, "nvidia-device-plugin-mps-control-daemon": label | mps}
