"""What serves models at a site: one block for each server."""

from __future__ import annotations

from pydantic import model_validator

from components.inference.ollama.spec import OllamaSpec
from components.inference.triton.spec import TritonSpec
from components.specs import Spec


class InferenceSpec(Spec):
    """Models served at the site."""

    triton: TritonSpec | None = None
    """NVIDIA Triton Inference Server."""

    ollama: OllamaSpec | None = None
    """Ollama, for language models."""

    @model_validator(mode="after")
    def _serves_something(self) -> InferenceSpec:
        servers = list(type(self).model_fields)
        if not any(getattr(self, name) for name in servers):
            raise ValueError(f"expected at least one server: {', '.join(servers)}")
        plugins = [name for name in servers if getattr(getattr(self, name), "device_plugin", None)]
        if len(plugins) > 1:
            raise ValueError(
                f"{', '.join(plugins)} would each install NVIDIA's device plugin, which a cluster has once: "
                "write `device_plugin: null` in all of them but one"
            )
        return self
