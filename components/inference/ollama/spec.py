"""What a human writes about the language models that Ollama serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.inference.device_plugin import DevicePluginSpec
from components.inference.needs import CpuNeeds, GpuNeeds
from components.inference.ollama import memory
from components.specs import Spec
from components.types import DnsLabel, ImageRef, Sha256
from sitefile.problems import Finding

Count = Annotated[int, Field(gt=0, examples=[32])]

ModelName = Annotated[
    str,
    Field(
        pattern=r"^(([a-z0-9][a-z0-9.-]*(:[0-9]+)?/)?[a-z0-9][a-z0-9_-]*/)?"
        r"[a-z0-9][a-z0-9._-]*:[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=200,
        examples=["mistral:7b-instruct-q4_K_M"],
    ),
]
"""`model:tag`, `user/model:tag` or `registry/namespace/model:tag`, as Ollama itself lists it."""


class Attention(Spec):
    """What the cache of a model depends on. A model's `config.json` has the figures."""

    layers: Count
    """`num_hidden_layers`."""

    kv_heads: Count
    """`num_key_value_heads`."""

    head_size: Count
    """`head_dim`, or `hidden_size` divided by `num_attention_heads`."""


class OllamaModel(Spec):
    """A model of Ollama's library, or of another registry."""

    name: ModelName
    """Name with its tag, which ends in the quantisation: `mistral:7b-instruct-q4_K_M`."""

    digest: Sha256
    """SHA-256 of the model's manifest, as `/api/tags` shows it. A model with another one is refused."""

    parameters_billion: Annotated[float, Field(gt=0, examples=[7.25])] | None = None
    """Weights in billions, where the tag rounds them or leaves them out: 7.25 for Mistral's `7b`."""

    attention: Attention
    """What the cache of the model depends on."""

    gpu: GpuNeeds | None = None
    """Needs on an accelerator; absent for a model that only runs on the CPU."""

    cpu: CpuNeeds | None = None
    """Needs on the CPU; absent for a model that only runs on an accelerator."""

    @model_validator(mode="after")
    def _runs_somewhere(self) -> OllamaModel:
        if self.gpu is None and self.cpu is None:
            raise ValueError("expected `gpu` or `cpu`: a model without either cannot be placed")
        memory.quantisation(self.name)
        if self.parameters_billion is None and memory.parameters(self.name) is None:
            raise ValueError(f"{self.name}: the tag does not say how many weights it has: add `parameters_billion`")
        return self

    @property
    def weights_mib(self) -> int:
        """Weights in MiB, in memory as on disk."""
        weights = self.parameters_billion * 1e9 if self.parameters_billion else memory.parameters(self.name)
        assert weights is not None
        return memory.weights_mib(weights, memory.quantisation(self.name))

    def memory_mib(self, *, context: int, parallel: int) -> int:
        """Memory that the loaded model takes on its device, in MiB."""
        attention = self.attention
        cache = memory.cache_mib(
            layers=attention.layers,
            kv_heads=attention.kv_heads,
            head_size=attention.head_size,
            context=context,
            parallel=parallel,
        )
        return self.weights_mib + cache + memory.WORKSPACE_MIB


class OllamaSpec(Spec):
    """Ollama on port 11434 of `ollama.edge-ollama.svc`. All models are loaded at once, and stay loaded."""

    models: Annotated[tuple[OllamaModel, ...], Field(min_length=1)]
    """Models to serve."""

    device: Literal["gpu", "cpu"] = "gpu"
    """What runs the models. A site without GPU says cpu."""

    image: ImageRef
    """Image with its digest, for every architecture of the site's hosts."""

    context: Annotated[int, Field(ge=256, le=1048576)] = 4096
    """Tokens of one request, answer included. A client that asks for more takes more memory than was counted."""

    parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Requests that a model answers at the same time; each takes cache for `context` tokens."""

    keep_alive: Annotated[str, Field(pattern=r"^(-1|[1-9][0-9]*[smh])$")] = "-1"
    """How long a model stays loaded after a request, such as 30m; -1 for ever."""

    storage_gib: Count = 40
    """Size of the volume for models in GiB. K3s' own storage class does not grow volumes: choose it once."""

    storage_class: DnsLabel = "local-path"
    """StorageClass of that volume."""

    jetpack: Literal[5, 6] | None = None
    """JetPack release of Jetson hosts; left out from JetPack 7 on, which runs what other arm64 hosts run."""

    driver: Annotated[int, Field(ge=340, le=9999, examples=[575])] = 531
    """Oldest branch of NVIDIA's driver that a host with a GPU may have: 531 by Ollama's own page on GPUs."""

    device_plugin: DevicePluginSpec | None = None
    """Device plugin to install; null where the cluster has one already, such as Triton's."""

    def conflicts(self) -> Iterator[Finding]:
        names = [model.name for model in self.models]
        for index, model in enumerate(self.models):
            if model.name in names[:index]:
                yield Finding(
                    ("models", index, "name"),
                    f"{model.name} is listed more than once",
                    "each model once",
                    "remove it here",
                )
            yield from self._memory(index, model)
        # The next set of models is there before the last one goes.
        on_disk = 2 * sum(model.weights_mib for model in self.models)
        if on_disk > self.storage_gib * 1024:
            yield Finding(
                ("storage_gib",),
                f"{self.storage_gib} GiB cannot hold the models twice, as a change of them needs",
                f"at least {-(-on_disk // 1024)}",
                f"write `storage_gib: {-(-on_disk // 1024)}`, or use smaller models",
            )

    def _memory(self, index: int, model: OllamaModel) -> Iterator[Finding]:
        needed = model.memory_mib(context=self.context, parallel=self.parallel)
        for path, declared in (
            (("gpu", "accelerator_memory_mib"), model.gpu.accelerator_memory_mib if model.gpu else None),
            (("cpu", "memory_mib"), model.cpu.memory_mib if model.cpu else None),
        ):
            if declared is not None and declared < needed:
                yield Finding(
                    ("models", index, *path),
                    f"{model.name} needs {needed} MiB ({model.weights_mib} MiB of weights in "
                    f"{memory.quantisation(model.name)}, the rest for {self.parallel} x {self.context} tokens and "
                    f"workspace), {'.'.join(path)} declares {declared}",
                    f"at least {needed} MiB",
                    "declare more, or take a smaller quantisation, `context` or `parallel`",
                )
