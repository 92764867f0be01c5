"""Data that sites refer to by name: hardware, accelerators, tiers. Read once, checked as strictly as a site file."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field

from components.host.spec import Accelerator, HardwareProfile, HostSpec
from components.specs import Spec
from components.types import NonEmpty

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class LatencyRange(Spec):
    """Round trip between users and hosts that makes the tier, in ms."""

    min: Annotated[float, Field(ge=0)]
    """Lower bound, inclusive."""

    max: Annotated[float, Field(gt=0)]
    """Upper bound, exclusive."""


class TierProfile(Spec):
    """A tier of the edge, from ``stacks/profiles/tiers/<tier>.yaml``."""

    description: NonEmpty
    """What stands there."""

    latency_ms: LatencyRange
    """Latency that makes the tier."""

    defaults: dict[str, Any] = {}
    """Site values that hold in this tier unless a site says otherwise."""


@dataclass(frozen=True)
class Catalogue:
    """Everything that a site file may refer to by name."""

    hardware: Mapping[str, HardwareProfile]
    accelerators: Mapping[str, Accelerator]
    tiers: Mapping[str, TierProfile]

    def accelerators_of(self, host: HostSpec) -> dict[str, Accelerator]:
        """Accelerators of a host by name: those of the box, then those added to it."""
        names = (*self.hardware[host.hardware].accelerators, *host.accelerators)
        return {name: self.accelerators[name] for name in names}


@functools.lru_cache(maxsize=4)
def catalogue(root: Path = PROJECT_ROOT) -> Catalogue:
    """The catalogue below ``root``. Raises ``pydantic.ValidationError`` for data of the wrong shape."""
    profiles = root / "stacks" / "profiles"

    def read(path: Path) -> Any:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)

    return Catalogue(
        hardware={
            path.stem: HardwareProfile.model_validate(read(path))
            for path in sorted((profiles / "hardware").glob("*.yaml"))
        },
        accelerators={
            name: Accelerator.model_validate(value) for name, value in read(profiles / "accelerators.yaml").items()
        },
        tiers={
            path.stem: TierProfile.model_validate(read(path)) for path in sorted((profiles / "tiers").glob("*.yaml"))
        },
    )
