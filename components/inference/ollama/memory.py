"""How much memory a language model takes: weights by quantisation, and the cache of what was read. Pure arithmetic."""

from __future__ import annotations

import math
import re

BITS_PER_WEIGHT: dict[str, float] = {
    "IQ1_S": 2.0042,
    "IQ1_M": 2.1460,
    "IQ2_XXS": 2.3824,
    "IQ2_XS": 2.5882,
    "IQ2_S": 2.7403,
    "IQ2_M": 2.9294,
    "IQ3_XXS": 3.2548,
    "IQ3_XS": 3.4977,
    "IQ3_S": 3.6606,
    "IQ3_M": 3.7628,
    "IQ4_XS": 4.4597,
    "IQ4_NL": 4.6818,
    "Q2_K_S": 2.9697,
    "Q2_K": 3.1593,
    "Q3_K_S": 3.6429,
    "Q3_K_M": 4.2979,
    "Q3_K_L": 4.2979,
    "Q4_0": 4.7,
    "Q4_1": 5.2,
    "Q4_K_S": 4.6672,
    "Q4_K_M": 4.8944,
    "Q5_0": 5.7,
    "Q5_1": 6.2,
    "Q5_K_S": 5.5704,
    "Q5_K_M": 5.7036,
    "Q6_K": 6.5633,
    "Q8_0": 8.5008,
    "FP16": 16.0005,
    "F16": 16.0005,
    "BF16": 16.0005,
    "FP32": 32.0,
    "F32": 32.0,
}
"""Quantisation -> bits for each weight, the mean over a whole file.

Source: llama.cpp, tools/quantize/README.md, measured on Llama 3.1 8B. It lacks some: Q3_K_M is counted as Q3_K_L; Q4_0
to Q5_1 as their blocks of 32 weights (4.5, 5, 5.5 and 6 bits) and 0.2 bits for the tensors that are kept in Q6_K.
"""

CACHE_BYTES = 2
"""Bytes of one value in the cache: f16, Ollama's default (`OLLAMA_KV_CACHE_TYPE`)."""

WORKSPACE_MIB = 600
"""Compute buffers and the CUDA context of one loaded model, in MiB (assumption for sizing)."""

_SIZE = re.compile(r"(?:(?P<experts>\d+)x)?(?P<count>\d+(?:\.\d+)?)(?P<unit>[bm])", re.IGNORECASE)


def quantisation(name: str) -> str:
    """The quantisation in a model's tag: Q4_K_M of `mistral:7b-instruct-q4_K_M`. ValueError where it is unknown."""
    last = name.rpartition(":")[2].rpartition("-")[2].upper()
    if last not in BITS_PER_WEIGHT:
        known = ", ".join(sorted(BITS_PER_WEIGHT))
        raise ValueError(
            f"{name}: expected a tag that ends in its quantisation, such as `-q4_K_M`; "
            f"{last or 'it'} is none of {known}"
        )
    return last


def parameters(name: str) -> float | None:
    """Weights that a model's tag speaks of: 7e9 for `7b`, 8 times 7e9 for `8x7b`; None where it does not."""
    for word in name.rpartition(":")[2].split("-"):
        if found := _SIZE.fullmatch(word):
            unit = 1e9 if found["unit"].lower() == "b" else 1e6
            return int(found["experts"] or 1) * float(found["count"]) * unit
    return None


def weights_mib(weights: float, kind: str) -> int:
    """Memory, and disk, of ``weights`` weights in MiB."""
    return math.ceil(weights * BITS_PER_WEIGHT[kind] / 8 / 2**20)


def cache_mib(*, layers: int, kv_heads: int, head_size: int, context: int, parallel: int) -> int:
    """Memory of the key-value cache in MiB: a key and a value for each layer, head, token and request at once."""
    return math.ceil(2 * layers * kv_heads * head_size * CACHE_BYTES * context * parallel / 2**20)
