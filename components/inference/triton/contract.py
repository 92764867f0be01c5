"""A model's contract as Triton reads it: ``config.pbtxt``, in protobuf's text format. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from components.inference.triton.spec import Model, Tensor


def model_files(models: Sequence[Model], *, on_gpu: bool) -> dict[str, str]:
    """File name -> ``config.pbtxt`` of each model that does not bring its own."""
    ours = [model for model in models if model.configuration == "generated"]
    return {f"{model.name}.pbtxt": model_configuration(model, on_gpu=on_gpu) for model in ours}


def model_configuration(model: Model, *, on_gpu: bool) -> str:
    """``config.pbtxt``: the model's contract in Triton's protobuf text format."""
    lines = [
        f"name: {json.dumps(model.name)}",
        f"backend: {json.dumps(model.backend)}",
        f"max_batch_size: {model.max_batch}",
        *_tensors("input", model.inputs),
        *_tensors("output", model.outputs),
        f"version_policy {{ specific {{ versions: [ {model.version} ] }} }}",
        f"instance_group [ {{ kind: {'KIND_GPU' if on_gpu else 'KIND_CPU'} count: 1 }} ]",
    ]
    return "\n".join(lines) + "\n"


def _tensors(block: str, tensors: Sequence[Tensor]) -> list[str]:
    items = [
        f"  {{ name: {json.dumps(tensor.name)} data_type: TYPE_{tensor.type} "
        f"dims: [ {', '.join(map(str, tensor.dims))} ] }}"
        for tensor in tensors
    ]
    return [f"{block} [", ",\n".join(items), "]"]
