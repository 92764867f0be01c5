"""What serves models at a site: one block for each server."""

from __future__ import annotations

from collections.abc import Iterator

from components.inference.ollama.spec import OllamaSpec
from components.inference.triton.spec import TritonSpec
from components.specs import Spec
from sitefile.problems import Finding


class InferenceSpec(Spec):
    """Models served at the site."""

    triton: TritonSpec | None = None
    """NVIDIA Triton Inference Server."""

    ollama: OllamaSpec | None = None
    """Ollama, for language models."""

    def conflicts(self) -> Iterator[Finding]:
        servers = list(type(self).model_fields)
        if not any(getattr(self, name) for name in servers):
            yield Finding(
                (), "nothing is served", f"at least one server: {', '.join(servers)}", "add one, or remove the block"
            )
        plugins = [name for name in servers if getattr(getattr(self, name), "device_plugin", None)]
        for name in plugins[1:]:
            yield Finding(
                (name, "device_plugin"),
                f"{', '.join(plugins)} would each install NVIDIA's device plugin, which a cluster has once",
                "one device plugin",
                "write `device_plugin: null` in all of them but one",
            )
