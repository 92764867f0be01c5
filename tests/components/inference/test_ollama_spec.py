"""Language models in a site file: pinned, and with as much memory as their quantisation takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.inference.ollama import memory
from components.inference.ollama.spec import OllamaModel
from components.inference.spec import InferenceSpec
from tests.components.cluster_objects import image
from tests.components.inference.ollama_parts import EMBED, MISTRAL, spec

MISTRAL_BYTES = 4369387754
"""What `/api/tags` tells of the reference model's size."""

KINDS = st.sampled_from(sorted(memory.BITS_PER_WEIGHT))


def model(**fields: Any) -> OllamaModel:
    return OllamaModel.model_validate({**MISTRAL, **fields})


@pytest.mark.parametrize("digest", ["1a85656b534f", "A" * 64, "sha256:" + "a" * 57, None])
def test_a_model_without_its_whole_digest_is_refused(digest: str | None) -> None:
    with pytest.raises(ValidationError, match="digest"):
        model(digest=digest)


@pytest.mark.parametrize(
    "name",
    ["mistral", "mistral:", "a/b/c/mistral:7b-q8_0", "x:7b q4_0", "x:7b-q4_0\ny", "$(id):7b-q8_0", 'x":7b-q8_0', ""],
)
def test_a_name_is_a_model_with_its_tag_and_nothing_else(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        model(name=name)


@pytest.mark.parametrize(
    "name", ["mistral:7b-q8_0", "acme/mistral:7b-q8_0", "registry.example.com:5000/acme/m:7b-q8_0"]
)
def test_a_model_may_come_from_a_user_or_another_registry(name: str) -> None:
    assert model(name=name, parameters_billion=1).name == name


@pytest.mark.parametrize("tag", ["7b", "latest", "7b-instruct", "7b-q9_9", "7b-q4_K_M-instruct"])
def test_an_unknown_quantisation_is_refused_with_those_that_are_known(tag: str) -> None:
    with pytest.raises(ValidationError, match=r"ends in its quantisation.*is none of BF16, .*Q4_K_M"):
        model(name=f"mistral:{tag}")


def test_a_tag_without_a_size_needs_the_number_of_weights() -> None:
    with pytest.raises(ValidationError, match="add `parameters_billion`"):
        model(name="mistral:instruct-q4_K_M", parameters_billion=None)
    assert model(name="mistral:instruct-q4_K_M").weights_mib == model().weights_mib


@pytest.mark.parametrize(
    ("tag", "weights"),
    [("7b-q8_0", 7e9), ("0.5b-q8_0", 5e8), ("270m-f16", 2.7e8), ("8x7b-instruct-q4_0", 5.6e10), ("mini-q4_0", None)],
)
def test_the_tag_says_how_many_weights_there_are(tag: str, weights: float | None) -> None:
    assert memory.parameters(f"x:{tag}") == weights


def test_the_reference_model_is_counted_as_large_as_it_is() -> None:
    counted = model().weights_mib * 2**20
    assert MISTRAL_BYTES <= counted < 1.03 * MISTRAL_BYTES


@pytest.mark.parametrize(
    ("tag", "declared", "fits"),
    [
        ("q4_K_M", 6144, True),
        ("q4_K_M", 5000, False),
        ("q8_0", 6144, False),
        ("q8_0", 9216, True),
        ("fp16", 9216, False),
    ],
)
def test_a_quantisation_that_takes_more_memory_than_declared_is_refused(tag: str, declared: int, fits: bool) -> None:
    gpu = {**MISTRAL["gpu"], "accelerator_memory_mib": declared}
    models = [{**MISTRAL, "name": f"mistral:7b-instruct-{tag}", "gpu": gpu, "cpu": None}]
    if fits:
        assert spec(models=models, device="gpu").models
        return
    with pytest.raises(ValidationError, match=rf"needs \d+ MiB .*gpu.accelerator_memory_mib declares {declared}"):
        spec(models=models)


def test_memory_on_the_cpu_is_held_to_the_same_figure() -> None:
    with pytest.raises(ValidationError, match=r"cpu.memory_mib declares 2048"):
        spec(models=[{**MISTRAL, "cpu": {"cores": 8, "memory_mib": 2048, "watts": 60}}], device="cpu")


@pytest.mark.parametrize("more", [{"context": 32768}, {"parallel": 8}])
def test_context_and_parallel_requests_take_memory_too(more: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="needs"):
        spec(**more)


@given(weights=st.floats(1e8, 1e12), one=KINDS, other=KINDS)
def test_more_bits_for_a_weight_never_take_less_memory(weights: float, one: str, other: str) -> None:
    assume(memory.BITS_PER_WEIGHT[one] <= memory.BITS_PER_WEIGHT[other])
    assert memory.weights_mib(weights, one) <= memory.weights_mib(weights, other)


@given(weights=st.floats(1e8, 1e12), kind=KINDS)
def test_weights_are_rounded_up_to_a_mib(weights: float, kind: str) -> None:
    exact = weights * memory.BITS_PER_WEIGHT[kind] / 8 / 2**20
    assert exact <= memory.weights_mib(weights, kind) < exact + 1


@given(context=st.integers(256, 2**20), parallel=st.integers(1, 64))
def test_the_cache_grows_with_each_token_and_each_request(context: int, parallel: int) -> None:
    size = {"layers": 32, "kv_heads": 8, "head_size": 128}
    # Mistral: 128 KiB for each token.
    assert memory.cache_mib(**size, context=context, parallel=parallel) == -(-context * parallel // 8)


@given(kind=KINDS, lower=st.booleans())
def test_every_known_quantisation_is_found_in_a_tag(kind: str, lower: bool) -> None:
    assert memory.quantisation(f"x:7b-instruct-{kind.lower() if lower else kind}") == kind


def test_a_model_is_listed_once() -> None:
    with pytest.raises(ValidationError, match="listed more than once"):
        spec(models=[MISTRAL, MISTRAL])


def test_the_volume_holds_the_models_twice() -> None:
    assert spec(models=[MISTRAL, EMBED], storage_gib=10).storage_gib == 10
    with pytest.raises(ValidationError, match=r"8 GiB cannot hold .* expected at least 9"):
        spec(storage_gib=8)


@pytest.mark.parametrize("keep_alive", ["0", "-2", "5", "1h30m", "for ever", ""])
def test_keep_alive_is_a_duration_or_for_ever(keep_alive: str) -> None:
    with pytest.raises(ValidationError, match="keep_alive"):
        spec(keep_alive=keep_alive)


def test_two_servers_do_not_both_install_the_device_plugin() -> None:
    plugin = {"version": "0.20.0"}
    triton = {
        "models": ["yolov9-spatial"],
        "images": {"server": image("triton")},
        "repository": {"kind": "claim", "name": "engines"},
        "device_plugin": plugin,
    }
    ollama = {"models": [MISTRAL], "image": image("ollama")}
    assert InferenceSpec.model_validate({"triton": triton, "ollama": ollama}).ollama
    with pytest.raises(ValidationError, match=r"triton, ollama would each install NVIDIA's device plugin"):
        InferenceSpec.model_validate({"triton": triton, "ollama": {**ollama, "device_plugin": plugin}})
