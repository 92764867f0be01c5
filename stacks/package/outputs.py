"""The outputs of a site with their types: those of the site as a whole, then those of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stacks.parts import PARTS
from stacks.provenance import OUTPUT as BUILT_FROM


@dataclass(frozen=True)
class Output:
    """One output of a site."""

    description: str
    type: Literal["string", "number", "integer", "boolean"] = "string"
    always: bool = False
    """Whether every site has it."""


OUTPUTS: Mapping[str, Output] = {
    "site": Output("Site id.", always=True),
    "tier": Output("Distance to the users.", always=True),
    "region": Output("Part of the world.", always=True),
    BUILT_FROM: Output("Hash of the site's values and the program.", always=True),
    "edge_usd_per_month": Output("What the site costs, in USD per month.", "number"),
    "cloud_usd_per_month": Output("What the same work costs in the cloud, in USD per month.", "number"),
    "saving_usd_per_month": Output("What the site saves, in USD per month.", "number"),
    "saving_percent": Output("What the site saves, in percent of the cloud's cost.", "number"),
    "break_even_month": Output("First month after which the hardware is paid for. Absent if it never is.", "integer"),
    "edge_pays": Output("Whether the site costs less than the cloud.", "boolean"),
    **{name: Output(description) for part in PARTS for name, description in part.told.items()},
}
