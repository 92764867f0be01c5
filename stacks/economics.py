"""Does edge pay? Pure arithmetic on what a site costs; amounts in USD, months as whole numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from components.specs import Spec

AMORTISATION_MONTHS = 18
"""Months over which hardware is written off: the rule is cloud > capex / 18 + edge opex."""

Usd = Annotated[float, Field(ge=0, examples=[18000])]
Scenario = Literal["vision-50-cameras", "sensors-10000", "cdn-5-pops", "on-premises-llm"]

SCENARIOS: dict[str, tuple[float, float]] = {
    "vision-50-cameras": (22_000, 2_500),
    "sensors-10000": (8_000, 1_200),
    "cdn-5-pops": (15_000, 6_000),
    "on-premises-llm": (12_000, 3_000),
}
"""Reference scenarios: (cloud, edge operation), in USD/month. Source: the mission's reference document."""


class EconomicsSpec(Spec):
    """What the site costs at the edge and in the cloud."""

    scenario: Scenario | None = None
    """Reference scenario that fills in the amounts left out below."""

    capex_usd: Usd
    """Hardware and installation, once, in USD."""

    cloud_usd_per_month: Usd | None = None
    """The same work in the cloud, in USD per month."""

    edge_opex_usd_per_month: Usd | None = None
    """Power, uplink, licences and hands at the edge, in USD per month."""


@dataclass(frozen=True)
class Economics:
    """The answer. Amounts in USD per month, rounded to cents."""

    edge_usd_per_month: float
    cloud_usd_per_month: float
    saving_usd_per_month: float
    saving_percent: float
    break_even_month: int | None
    """First month after which the money saved has paid for the hardware; None if it never does."""
    edge_pays: bool


def assess(spec: EconomicsSpec) -> Economics:
    """Apply the rule to a site. Missing amounts come from the scenario; ``rules.site`` refuses a site without both."""
    capex, cloud, opex = _amounts(spec)
    edge = capex / AMORTISATION_MONTHS + opex
    monthly_gain = cloud - opex
    return Economics(
        edge_usd_per_month=float(round(edge, 2)),
        cloud_usd_per_month=float(round(cloud, 2)),
        saving_usd_per_month=float(round(cloud - edge, 2)),
        saving_percent=float(round(100 * (cloud - edge) / cloud, 1)) if cloud else 0.0,
        break_even_month=math.ceil(capex / monthly_gain) if monthly_gain > 0 else None,
        edge_pays=cloud > edge,
    )


def together(specs: Iterable[EconomicsSpec]) -> EconomicsSpec:
    """The amounts of several sites in one: their hardware is bought in the same month."""
    capex, cloud, opex = (sum(amounts, Fraction()) for amounts in zip(*map(_amounts, specs), strict=True))
    return EconomicsSpec(capex_usd=float(capex), cloud_usd_per_month=float(cloud), edge_opex_usd_per_month=float(opex))


def cumulative(spec: EconomicsSpec, months: int) -> list[tuple[float, float]]:
    """What has been spent until the end of each month, from month 0 to ``months``: (edge, cloud), in USD."""
    capex, cloud, opex = _amounts(spec)
    return [(float(capex + opex * month), float(cloud * month)) for month in range(months + 1)]


def _amounts(spec: EconomicsSpec) -> tuple[Fraction, Fraction, Fraction]:
    """Hardware; cloud and edge operation per month. What the site leaves out is the scenario's."""
    cloud, opex = SCENARIOS.get(spec.scenario or "", (0.0, 0.0))
    return (
        _exact(spec.capex_usd),
        _exact(cloud if spec.cloud_usd_per_month is None else spec.cloud_usd_per_month),
        _exact(opex if spec.edge_opex_usd_per_month is None else spec.edge_opex_usd_per_month),
    )


def _exact(amount: float) -> Fraction:
    """The exact decimal amount: in binary fractions 0.30 - 0.10 is not 0.20, which can shift the result by a month."""
    return Fraction(str(amount))
