"""Ollama: how a model gets there, who may call it, what it may reach, and what it takes from its host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components.inference import device_plugin
from components.inference.ollama import plan as ollama
from components.inference.ollama.spec import OllamaSpec
from components.inference.placement import Placement
from components.manifests import Manifest
from tests.components.cluster_objects import as_yaml, findings, image, problems
from tests.components.inference.ollama_parts import EMBED, JETSON, MISTRAL, PLAIN, A, B, placed, spec


def on(ollama_spec: OllamaSpec, *machines: Any) -> tuple[OllamaSpec, Placement]:
    return ollama_spec, placed(ollama.server(ollama_spec), *machines)


CASES: dict[str, tuple[OllamaSpec, Placement]] = {
    "gpu": on(spec(device_plugin={"version": "0.20.0", "image": image("plugin")}), A, B),
    "cpu-two-models": on(spec(models=[MISTRAL, EMBED], device="cpu", keep_alive="30m"), PLAIN),
    "jetson": on(
        spec(models=[{**MISTRAL, "gpu": {**MISTRAL["gpu"], "watts": 40}}], jetpack=6, parallel=2, storage_gib=20),
        JETSON,
    ),
}


def planned(name: str) -> ollama.OllamaPlan:
    return ollama.plan(*CASES[name], "1f")


def manifests(name: str) -> list[Manifest]:
    plan = planned(name)
    return [
        plan.namespace,
        *plan.network_policies,
        plan.service_account,
        plan.script,
        plan.store,
        plan.pull,
        plan.deployment,
        plan.service,
    ]


def container(manifest: Manifest) -> dict[str, Any]:
    (found,) = manifest["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(manifest: Manifest) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(manifest)["env"]}


def mounts(manifest: Manifest) -> dict[str, dict[str, Any]]:
    return {mount["name"]: mount for mount in container(manifest)["volumeMounts"]}


@pytest.mark.parametrize("name", CASES)
def test_objects_are_the_reviewed_ones(name: str, golden: Callable[[str, str], None]) -> None:
    plugin = planned(name).device_plugin
    values = [device_plugin.values(plugin)] if plugin else []
    others = [manifest for manifest in manifests(name) if manifest["kind"] != "ConfigMap"]
    golden(f"ollama/{name}.yaml", as_yaml([*values, *others]))


def test_the_script_is_the_reviewed_one(golden: Callable[[str, str], None]) -> None:
    (script,) = planned("gpu").script["data"].values()
    golden("ollama/models.sh", script)


@pytest.mark.parametrize("name", CASES)
def test_an_api_server_accepts_every_object(name: str) -> None:
    assert [(item["kind"], problem) for item in manifests(name) for problem in problems(item)] == []


@pytest.mark.parametrize("name", CASES)
def test_every_object_passes_every_policy(name: str) -> None:
    assert [found for item in manifests(name) for found in findings(item)] == []


def test_the_server_has_no_way_out_and_answers_clients_only() -> None:
    deny, server, pull = (policy["spec"] for policy in planned("gpu").network_policies)
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert server["podSelector"]["matchLabels"] == planned("gpu").deployment["spec"]["selector"]["matchLabels"]
    assert "egress" not in server
    (clients,) = server["ingress"]
    assert clients["from"][1] == {"namespaceSelector": {"matchLabels": {ollama.CLIENT_LABEL: "true"}}}
    assert [port["port"] for port in clients["ports"]] == [11434]
    assert "ingress" not in pull


def test_only_the_job_reaches_a_registry() -> None:
    *_, pull = (policy["spec"] for policy in planned("gpu").network_policies)
    labels = planned("gpu").pull["spec"]["template"]["metadata"]["labels"]
    assert pull["podSelector"]["matchLabels"] == labels
    selector = planned("gpu").service["spec"]["selector"]
    assert not selector.items() <= labels.items()
    names, registry = pull["egress"]
    assert [port["port"] for port in names["ports"]] == [53, 53]
    assert [port["port"] for port in registry["ports"]] == [443]


def test_the_server_cannot_change_a_model_and_sees_only_its_own_set() -> None:
    models = mounts(planned("gpu").deployment)["models"]
    assert models["readOnly"] is True
    assert models["subPath"] == environment(planned("gpu").pull)["SET"]
    assert models["mountPath"] == environment(planned("gpu").deployment)["OLLAMA_MODELS"]
    assert "readOnly" not in mounts(planned("gpu").pull)["models"]


def test_neither_pod_removes_a_download_that_goes_on() -> None:
    assert environment(planned("gpu").deployment)["OLLAMA_NOPRUNE"] == "1"
    assert environment(planned("gpu").pull)["OLLAMA_NOPRUNE"] == "1"


def test_models_stay_loaded_all_at_once() -> None:
    kept = environment(planned("gpu").deployment)
    assert (kept["OLLAMA_KEEP_ALIVE"], kept["OLLAMA_MAX_LOADED_MODELS"]) == ("-1", "1")
    both = environment(planned("cpu-two-models").deployment)
    assert (both["OLLAMA_KEEP_ALIVE"], both["OLLAMA_MAX_LOADED_MODELS"]) == ("30m", "2")
    many = environment(planned("jetson").deployment)
    assert (many["OLLAMA_NUM_PARALLEL"], many["OLLAMA_CONTEXT_LENGTH"]) == ("2", "4096")


def test_the_server_starts_with_loaded_models_and_is_ready_with_pinned_ones() -> None:
    server = container(planned("gpu").deployment)
    assert server["startupProbe"]["exec"]["command"][-1] == "loaded"
    assert server["readinessProbe"]["exec"]["command"][-1] == "present"
    assert server["livenessProbe"]["httpGet"]["path"] == "/api/version"
    assert environment(planned("gpu").deployment)["MODELS"] == f"{MISTRAL['name']} {MISTRAL['digest']}"


def test_a_refused_digest_ends_the_job_without_another_try() -> None:
    (rule,) = planned("gpu").pull["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["values"] == [ollama.REFUSED]


@pytest.mark.parametrize(
    ("fields", "installation", "again"),
    [
        ({}, "1f", False),
        ({"keep_alive": "5m", "context": 2048}, "1f", False),
        ({"models": [{**MISTRAL, "digest": "c" * 64}]}, "1f", True),
        ({"models": [MISTRAL, EMBED]}, "1f", True),
        ({"image": image("newer")}, "1f", True),
        ({}, "2f", True),
    ],
)
def test_a_pull_runs_again_for_other_models_and_for_a_host_installed_anew(
    fields: dict[str, Any], installation: str, again: bool
) -> None:
    def name(found: Manifest) -> str:
        return str(found["metadata"]["name"])

    before = ollama.plan(*on(spec(), A), "1f").pull
    after = ollama.plan(*on(spec(**fields), A), installation).pull
    assert (name(after) != name(before)) is again
    # A Job cannot be changed in place: with the same name it has the same content.
    assert (after["spec"] != before["spec"]) is again


def test_a_host_installed_anew_gets_another_claim_since_the_old_one_is_forgotten_with_its_node() -> None:
    before, after = (ollama.plan(*on(spec(), A), installation) for installation in ("1f", "2f"))
    assert before.store["metadata"]["name"] != after.store["metadata"]["name"]
    for manifest in (after.pull, after.deployment):
        (volume,) = (v for v in manifest["spec"]["template"]["spec"]["volumes"] if v["name"] == "models")
        assert volume["persistentVolumeClaim"]["claimName"] == after.store["metadata"]["name"]


def test_a_host_added_at_the_end_changes_nothing() -> None:
    assert ollama.plan(*on(spec(), A), "1f") == ollama.plan(*on(spec(), A, B), "1f")


def test_the_order_of_models_does_not_make_another_set() -> None:
    both, turned = spec(models=[MISTRAL, EMBED]), spec(models=[EMBED, MISTRAL])
    assert ollama.set_of(both.models) == ollama.set_of(turned.models)
    assert ollama.set_of(both.models) != ollama.set_of(spec().models)


def test_job_and_server_run_where_their_volume_is() -> None:
    pods = [manifest["spec"]["template"]["spec"] for manifest in (planned("gpu").pull, planned("gpu").deployment)]
    assert pods[0]["nodeSelector"] == pods[1]["nodeSelector"] == {ollama.HOST_LABEL: "server"}
    assert pods[0]["tolerations"] == pods[1]["tolerations"]


def test_a_gpu_is_taken_by_the_server_and_by_nothing_else() -> None:
    server = planned("gpu").deployment["spec"]["template"]["spec"]
    assert server["runtimeClassName"] == "nvidia"
    assert container(planned("gpu").deployment)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    for other in (planned("gpu").pull, planned("cpu-two-models").deployment):
        assert "runtimeClassName" not in other["spec"]["template"]["spec"]
        assert "nvidia.com/gpu" not in container(other)["resources"]["limits"]
        assert environment(other)["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_a_jetson_is_told_its_jetpack_and_no_other_host_is() -> None:
    assert environment(planned("jetson").deployment)["JETSON_JETPACK"] == "6"
    assert "JETSON_JETPACK" not in environment(ollama.plan(*on(spec(jetpack=6), A), "1f").deployment)


def test_the_chosen_host_is_labelled_under_keys_of_ollamas_own() -> None:
    metadata = ollama.host_labels(CASES["gpu"][1], "site-a", "1f", on_gpu=True)["metadata"]
    assert metadata["labels"] == {"edge/ollama": "server", "nvidia.com/gpu.present": "true"}
    assert metadata["annotations"] == {"edge/ollama-installation": "1f"}


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("mistral:7b", "registry.ollama.ai/library/mistral:7b"),
        ("acme/mistral:7b", "registry.ollama.ai/acme/mistral:7b"),
        ("hf.co/acme/mistral:7b", "hf.co/acme/mistral:7b"),
        ("localhost:5000/acme/mistral:7b", "localhost:5000/acme/mistral:7b"),
    ],
)
def test_a_model_lies_where_its_name_says_and_otherwise_at_ollamas_registry(name: str, reference: str) -> None:
    assert ollama.in_registry(name) == reference
