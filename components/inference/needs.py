"""What a model asks of its host, whichever server runs it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.specs import Spec

Platform = Literal["server", "jetson"]
"""server: CUDA on a discrete GPU (amd64 or arm64), or CPU only. jetson: CUDA on a Jetson's integrated GPU."""

Size = Annotated[int, Field(gt=0, examples=[2048])]
Amount = Annotated[float, Field(ge=0, examples=[4])]


class CpuNeeds(Spec):
    """What one copy of a model asks of a host when it runs on the CPU."""

    cores: Amount
    """CPU cores."""

    memory_mib: Size
    """RAM in MiB."""

    watts: Amount
    """Power under load in W, above what the host draws without it."""


class GpuNeeds(CpuNeeds):
    """What one copy of a model asks of a host when it runs on an accelerator."""

    accelerator_memory_mib: Size
    """Accelerator memory in MiB: weights, context and workspace."""

    tops_int8: Amount
    """Throughput in TOPS at INT8."""
