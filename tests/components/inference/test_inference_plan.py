"""Triton: how it finds its models, who may call it, and what it takes from its host."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from components.inference import device_plugin
from components.inference.placement import Placement
from components.inference.triton import plan as inference
from components.inference.triton.contract import model_configuration
from components.inference.triton.plan import TritonPlan
from components.inference.triton.spec import Model, S3Repository, TritonSpec, catalogue
from components.manifests import Manifest
from components.view import Demand, Scraper
from tests.components.cluster_objects import as_yaml, findings, image, problems

IMAGES = {"server": image("triton"), "jetson": image("triton-igpu")}
FROM_IMAGE = {"kind": "image", "reference": image("models")}
SCRAPER = Scraper("edge-telemetry", "otel")
SERVER = Placement(platform="server", hosts=("a",), demands=dict.fromkeys("abc", Demand()))
JETSON = Placement(platform="jetson", hosts=("eye",), demands={"eye": Demand()})
CAPTION: dict[str, Any] = {
    "name": "caption",
    "source": "made up for tests",
    "backend": "python",
    "version": 3,
    "max_batch": 4,
    "inputs": [
        {"name": "picture", "type": "UINT8", "dims": [-1, -1, 3]},
        {"name": "hint", "type": "STRING", "dims": [1]},
    ],
    "outputs": [{"name": "text", "type": "STRING", "dims": [1]}],
    "cpu": {"cores": 0.5, "memory_mib": 256, "watts": 5},
}


def spec(**fields: Any) -> TritonSpec:
    return TritonSpec.model_validate(
        {"models": ["yolov9-spatial"], "repository": FROM_IMAGE, "images": IMAGES, **fields}
    )


OWN: dict[str, Any] = {
    **CAPTION,
    "configuration": "repository",
    "gpu": {**CAPTION["cpu"], "accelerator_memory_mib": 64, "tops_int8": 1},
}
CASES: dict[str, tuple[TritonSpec, Placement, Scraper | None]] = {
    "gpu-image": (spec(device_plugin={"version": "0.20.0", "image": image("plugin")}), SERVER, SCRAPER),
    "gpu-replicas-s3": (
        spec(
            replicas=2,
            repository={
                "kind": "s3",
                "url": "s3://models/edge",
                "region": "eu-central-1",
                "endpoint": "https://store.example.com:9000",
            },
        ),
        SERVER,
        SCRAPER,
    ),
    "jetson-claim": (spec(repository={"kind": "claim", "name": "engines"}), JETSON, None),
    "cpu-two-models": (spec(models=["yolov9-spatial", CAPTION], device="cpu"), SERVER, None),
}


def planned(name: str) -> TritonPlan:
    triton_spec, placement, scraper = CASES[name]
    return inference.plan(triton_spec, placement, scraper=scraper)


def manifests(name: str) -> list[Manifest]:
    plan = planned(name)
    return [
        plan.namespace,
        *plan.network_policies,
        plan.service_account,
        *plan.scrape_access,
        plan.models,
        *([inference.store_credentials("placeholder", "placeholder")] if "s3" in name else []),
        plan.deployment,
        plan.service,
    ]


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = planned(name).deployment["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("name", CASES)
def test_objects_are_the_reviewed_ones(name: str, golden: Callable[[str, str], None]) -> None:
    plugin = planned(name).device_plugin
    values = [device_plugin.values(plugin)] if plugin else []
    golden(f"inference/{name}.yaml", as_yaml([*values, *manifests(name)]))


@pytest.mark.parametrize("name", CASES)
def test_an_api_server_accepts_every_object(name: str) -> None:
    assert [(item["kind"], problem) for item in manifests(name) for problem in problems(item)] == []


@pytest.mark.parametrize("name", CASES)
def test_every_object_passes_every_policy(name: str) -> None:
    found = [one for item in manifests(name) for one in findings(item)]
    # The uid of Triton's own image is an exception for that image, by its name; here it has another one.
    assert [one for one in found if not one.startswith("workload/high-user ")] == []


def test_the_contract_of_the_reference_model_is_what_its_clients_send(golden: Callable[[str, str], None]) -> None:
    text = model_configuration(catalogue()["yolov9-spatial"], on_gpu=True)
    assert 'name: "input" data_type: TYPE_FP32 dims: [ 1, 3, 640, 640 ]' in text
    golden("inference/yolov9-spatial.pbtxt", text)
    golden("inference/caption.pbtxt", model_configuration(Model.model_validate(CAPTION), on_gpu=False))


def test_contract_and_version_are_mounted_into_a_repository_that_can_hold_mount_points() -> None:
    (container,) = pod("gpu-image")["containers"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod("gpu-image")["volumes"]}
    assert "emptyDir" in volumes[mounts["/models"]["name"]]
    assert not mounts["/models"].get("readOnly")
    version = mounts["/models/yolov9-spatial/1"]
    assert version["subPath"] == "yolov9-spatial/1"
    assert volumes[version["name"]]["image"]["reference"] == FROM_IMAGE["reference"]
    contract = mounts["/models/yolov9-spatial/config.pbtxt"]
    assert contract["subPath"] in planned("gpu-image").models["data"]


def test_only_the_sites_models_are_loaded() -> None:
    (container,) = pod("cpu-two-models")["containers"]
    assert "--model-control-mode=explicit" in container["args"]
    assert [arg for arg in container["args"] if arg.startswith("--load-model")] == [
        "--load-model=yolov9-spatial",
        "--load-model=caption",
    ]


def test_the_server_is_ready_when_the_models_are_and_not_before() -> None:
    (container,) = pod("gpu-image")["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert container["startupProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


def test_a_python_models_process_is_missed_when_it_is_gone_though_the_server_says_it_is_alive() -> None:
    (container,) = pod("cpu-two-models")["containers"]
    shell, flag, script = container["livenessProbe"]["exec"]["command"]
    assert (shell, flag) == ("bash", "-c")
    assert "GET /v2/health/live" in script
    assert script.endswith('[ "$models" -ge 1 ]\n')
    shellcheck = [str(Path(sys.prefix) / "bin" / "shellcheck"), "--shell=bash", "-"]
    checked = subprocess.run(shellcheck, input=script, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_a_gpu_is_asked_for_only_where_one_is_used() -> None:
    assert pod("gpu-image")["runtimeClassName"] == "nvidia"
    assert pod("gpu-image")["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "runtimeClassName" not in pod("cpu-two-models")
    assert "nvidia.com/gpu" not in pod("cpu-two-models")["containers"][0]["resources"]["limits"]


def test_where_pods_are_known_by_ipv6_the_server_listens_there_and_its_probe_asks_there() -> None:
    triton = spec(models=["yolov9-spatial", CAPTION], device="cpu")
    plain, other = (inference.plan(triton, SERVER, scraper=None, ipv6=ipv6) for ipv6 in (False, True))
    (before,), (after,) = (plan.deployment["spec"]["template"]["spec"]["containers"] for plan in (plain, other))
    assert [one for one in after["args"] if one not in before["args"]] == [
        "--http-address=ipv6:::",
        "--grpc-address=[::]",
    ]
    assert not [one for one in before["args"] if "address" in one]
    assert "/dev/tcp/127.0.0.1/8000" in before["livenessProbe"]["exec"]["command"][2]
    assert "/dev/tcp/::1/8000" in after["livenessProbe"]["exec"]["command"][2]


def test_a_held_gpu_is_given_up_before_the_next_server_asks_for_it() -> None:
    assert planned("gpu-image").deployment["spec"]["strategy"] == {"type": "Recreate"}
    strategy = planned("gpu-replicas-s3").deployment["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_a_changed_contract_replaces_the_pod() -> None:
    def checksum(model: dict[str, Any]) -> Any:
        plan = inference.plan(spec(models=[model], device="cpu"), SERVER, scraper=None)
        return plan.deployment["spec"]["template"]["metadata"]["annotations"]

    assert checksum(CAPTION) == checksum(dict(CAPTION))
    assert checksum(CAPTION) != checksum({**CAPTION, "max_batch": 8})


def test_nothing_but_clients_and_the_scraper_reaches_the_server() -> None:
    _, allowed = planned("gpu-image").network_policies
    clients, scraper = allowed["spec"]["ingress"]
    assert [port["port"] for port in clients["ports"]] == [8000, 8001]
    assert clients["from"][1]["namespaceSelector"]["matchLabels"] == {inference.CLIENT_LABEL: "true"}
    assert [port["port"] for port in scraper["ports"]] == [8002]
    assert "egress" not in allowed["spec"]


def test_without_telemetry_no_one_may_list_pods_or_read_metrics() -> None:
    plan = planned("jetson-claim")
    assert plan.scrape_access == ()
    assert len(plan.network_policies[1]["spec"]["ingress"]) == 1


def values(**plugin: Any) -> dict[str, Any]:
    return device_plugin.values(device_plugin.DevicePluginSpec(version="0.20.0", **plugin))


def test_without_time_slices_the_device_plugin_has_no_configuration() -> None:
    assert values() == values(time_slices=1)
    assert {"config", "migStrategy", "deviceListStrategy", "deviceDiscoveryStrategy"} & set(values()) == set()


def test_time_slices_are_the_plugins_own_configuration_and_add_no_capability() -> None:
    made = values(time_slices=4)
    assert yaml.safe_load(made["config"]["map"]["default"]) == {
        "version": "v1",
        "sharing": {
            "timeSlicing": {
                "failRequestsGreaterThanOne": True,
                "resources": [{"name": "nvidia.com/gpu", "replicas": 4}],
            }
        },
    }
    # The chart adds SYS_ADMIN where a configuration might ask for MIG or for mounts, unless these say otherwise.
    assert (made["migStrategy"], made["deviceListStrategy"]) == ("none", "envvar")


def test_where_mig_cuts_gpus_their_parts_are_offered_as_gpus_and_one_capability_is_added() -> None:
    spec = device_plugin.DevicePluginSpec(version="0.20.0", time_slices=2)
    made = device_plugin.values(spec, mig=True)
    assert made["migStrategy"] == "single"
    assert made["securityContext"] == {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}
    assert "securityContext" not in device_plugin.values(spec)


def test_discovery_is_left_to_the_plugin_unless_the_site_says_how() -> None:
    assert values(discovery="tegra")["deviceDiscoveryStrategy"] == "tegra"


def test_hosts_that_fit_are_labelled_for_the_server_and_on_a_gpu_for_the_device_plugin() -> None:
    labels = inference.host_labels(SERVER, "site-a", "1f", on_gpu=True)["metadata"]["labels"]
    assert labels == {"edge/inference": "server", "nvidia.com/gpu.present": "true"}
    assert pod("gpu-image")["nodeSelector"] == {"edge/inference": "server"}
    assert inference.host_labels(SERVER, "site-a", "1f", on_gpu=False)["metadata"]["labels"] == {
        "edge/inference": "server"
    }


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        (None, "s3://models/edge"),
        ("https://store.example.com", "s3://https://store.example.com:443/models/edge"),
        ("https://store.example.com:9000", "s3://https://store.example.com:9000/models/edge"),
    ],
)
def test_an_s3_address_is_spelled_as_triton_reads_it(endpoint: str | None, address: str) -> None:
    repository = S3Repository(kind="s3", url="s3://models/edge", region="eu-central-1", endpoint=endpoint)
    assert inference.repository_url(repository) == address


def test_store_keys_are_asked_for_only_with_a_store() -> None:
    assert inference.required_secrets(CASES["gpu-image"][0]) == ()
    assert inference.required_secrets(CASES["gpu-replicas-s3"][0]) == (
        "model-store-access-key",
        "model-store-secret-key",
    )


def test_a_platform_without_image_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(ValueError, match="no `jetson` image, which the hosts that fit need; it has server"):
        inference.plan(spec(images={"server": image("triton")}), JETSON, scraper=None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"models": ["yolov9-spacial"]}, "did you mean 'yolov9-spatial'"),
        ({"models": []}, "at least 1 item"),
        ({"models": ["yolov9-spatial", "yolov9-spatial"]}, "yolov9-spatial is listed more than once"),
        ({"models": [{**CAPTION, "cpu": None}]}, "expected `gpu` or `cpu`"),
        ({"repository": {"kind": "image", "reference": "registry.example.com/models:v1"}}, "with registry and digest"),
        (
            {"repository": {"kind": "s3", "url": "s3://models", "region": "eu", "endpoint": "https://[fd00::1]:9000"}},
            "takes no IPv6 address",
        ),
        ({"repository": {"kind": "ftp"}}, "'image', 's3', 'claim'"),
        ({"images": {"laptop": image("triton")}}, "'server' or 'jetson'"),
        ({"device_plugin": {"version": "0.20.0", "chart": "oci://mirror.example.com/plugin"}}, "repository: null"),
    ],
)
def test_a_spec_that_cannot_be_served_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(**wrong)


def pod_of(triton: TritonSpec) -> dict[str, Any]:
    pod: dict[str, Any] = inference.plan(triton, SERVER, scraper=None).deployment["spec"]["template"]["spec"]
    return pod


def test_the_server_is_nobody_who_has_an_account_on_a_host() -> None:
    security = pod_of(spec())["securityContext"]
    assert min(security[name] for name in ("runAsUser", "runAsGroup", "fsGroup")) >= 10_000


def test_shared_memory_is_a_part_of_the_servers_memory() -> None:
    plain, more = spec(), spec(shared_memory_mib=2048)
    before, after = (pod_of(one)["containers"][0]["resources"] for one in (plain, more))
    for kind in ("requests", "limits"):
        assert int(after[kind]["memory"][:-2]) - int(before[kind]["memory"][:-2]) == 2048
    assert inference.server(more).memory_mib - inference.server(plain).memory_mib == 2048
    (volume,) = [one for one in pod_of(more)["volumes"] if one["name"] == "shared-memory"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "2048Mi"}
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in pod_of(more)["containers"][0]["volumeMounts"]
    assert "shared-memory" not in str(pod_of(plain))


def test_a_model_with_a_configuration_of_its_own_keeps_it() -> None:
    planned = inference.plan(spec(models=["yolov9-spatial", OWN]), SERVER, scraper=None)
    assert list(planned.models["data"]) == ["yolov9-spatial.pbtxt"]
    mounts = planned.deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert [one for one in mounts if "caption" in one["mountPath"]] == [
        {"name": "versions", "mountPath": "/models/caption", "subPath": "caption", "readOnly": True}
    ]


def test_an_ensemble_is_described_by_its_own_configuration_alone() -> None:
    with pytest.raises(ValidationError, match="configuration: repository"):
        spec(models=[{**OWN, "backend": "ensemble", "configuration": "generated"}])
    assert spec(models=[{**OWN, "backend": "ensemble"}]).contracts[0].backend == "ensemble"
