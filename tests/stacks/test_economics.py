"""Does edge pay: the rule of 18 months, at its boundary and away from it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stacks.economics import (
    AMORTISATION_MONTHS,
    SCENARIOS,
    Economics,
    EconomicsSpec,
    assess,
    cumulative,
    together,
)


def assessed(
    capex: float, cloud: float | None = None, opex: float | None = None, scenario: str | None = None
) -> Economics:
    return assess(
        EconomicsSpec.model_validate(
            {
                "capex_usd": capex,
                "cloud_usd_per_month": cloud,
                "edge_opex_usd_per_month": opex,
                "scenario": scenario,
            }
        )
    )


cents = st.integers(0, 10**9)
"""Amounts up to ten million USD, in cents: what an invoice may say."""


def test_hardware_is_written_off_over_eighteen_months() -> None:
    found = assessed(capex=18_000, cloud=3_000, opex=500)
    assert found.edge_usd_per_month == 1_500
    assert found.saving_usd_per_month == 1_500
    assert found.saving_percent == 50
    assert found.edge_pays


@pytest.mark.parametrize(("cloud", "pays"), [(1_499.99, False), (1_500, False), (1_500.01, True)])
def test_edge_pays_only_where_the_cloud_costs_more(cloud: float, pays: bool) -> None:
    assert assessed(capex=18_000, cloud=cloud, opex=500).edge_pays is pays


@pytest.mark.parametrize(
    ("capex", "cloud", "opex"), [(12.6, 0.8, 0.1), (3.6, 0.3, 0.1), (0.18, 0.03, 0.02), (9.0, 100.6, 100.1)]
)
def test_amounts_in_cents_are_equal_where_they_are_equal_on_paper(capex: float, cloud: float, opex: float) -> None:
    found = assessed(capex, cloud, opex)
    assert not found.edge_pays
    assert found.saving_usd_per_month == 0
    assert found.break_even_month == AMORTISATION_MONTHS


def test_hardware_has_paid_for_itself_in_the_month_that_completes_it() -> None:
    assert assessed(capex=1_000, cloud=300, opex=100).break_even_month == 5
    assert assessed(capex=1_000.01, cloud=300, opex=100).break_even_month == 6
    assert assessed(capex=1.0, cloud=0.3, opex=0.1).break_even_month == 5, "0.3 - 0.1 is 0.2"


def test_hardware_for_nothing_has_paid_for_itself_at_once() -> None:
    found = assessed(capex=0, cloud=300, opex=100)
    assert (found.break_even_month, found.edge_pays) == (0, True)


@pytest.mark.parametrize("opex", [300, 300.01, 5_000])
def test_an_edge_that_costs_as_much_to_run_as_the_cloud_never_breaks_even(opex: float) -> None:
    found = assessed(capex=1_000, cloud=300, opex=opex)
    assert found.break_even_month is None
    assert not found.edge_pays
    assert found.saving_usd_per_month < 0


def test_it_may_break_even_after_the_hardware_is_written_off() -> None:
    found = assessed(capex=36_000, cloud=1_100, opex=100)
    assert found.break_even_month == 36
    assert not found.edge_pays, "by then it is time for new hardware"


def test_a_cloud_for_nothing_is_not_divided_by() -> None:
    found = assessed(capex=1_800, cloud=0, opex=0)
    assert (found.saving_usd_per_month, found.saving_percent) == (-100, 0)
    assert (found.break_even_month, found.edge_pays) == (None, False)


@pytest.mark.parametrize(
    ("scenario", "cloud", "opex"),
    [
        ("vision-50-cameras", 22_000, 2_500),
        ("sensors-10000", 8_000, 1_200),
        ("cdn-5-pops", 15_000, 6_000),
        ("on-premises-llm", 12_000, 3_000),
    ],
)
def test_a_scenario_has_the_figures_of_the_reference(scenario: str, cloud: float, opex: float) -> None:
    assert assessed(capex=9_000, scenario=scenario) == assessed(capex=9_000, cloud=cloud, opex=opex)
    assert SCENARIOS[scenario] == (cloud, opex)


def test_the_reference_site_pays_from_the_third_month_on() -> None:
    found = assessed(capex=48_000, scenario="vision-50-cameras")
    assert found == Economics(
        edge_usd_per_month=5_166.67,
        cloud_usd_per_month=22_000,
        saving_usd_per_month=16_833.33,
        saving_percent=76.5,
        break_even_month=3,
        edge_pays=True,
    )


def test_what_a_site_says_wins_over_its_scenario() -> None:
    assert assessed(1_800, cloud=100, scenario="cdn-5-pops") == assessed(1_800, cloud=100, opex=6_000)
    assert assessed(1_800, opex=0, scenario="cdn-5-pops") == assessed(1_800, cloud=15_000, opex=0), "zero is an amount"


@pytest.mark.parametrize("field", ["capex_usd", "cloud_usd_per_month", "edge_opex_usd_per_month"])
def test_no_amount_is_negative(field: str) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        EconomicsSpec.model_validate({"capex_usd": 1, field: -0.01})


@given(capex=cents, cloud=cents, opex=cents)
def test_the_rule_holds_to_the_cent(capex: int, cloud: int, opex: int) -> None:
    found = assessed(capex / 100, cloud / 100, opex / 100)
    assert found.edge_pays == (cloud > Fraction(capex, AMORTISATION_MONTHS) + opex)


@given(gain=cents, opex=cents)
def test_at_the_boundary_the_cloud_stays_the_cheaper_one(gain: int, opex: int) -> None:
    found = assessed(gain * AMORTISATION_MONTHS / 100, (opex + gain) / 100, opex / 100)
    assert not found.edge_pays
    assert found.saving_usd_per_month == 0
    assert found.break_even_month == (AMORTISATION_MONTHS if gain else None)


@given(capex=cents, cloud=cents, opex=cents)
def test_the_break_even_month_is_the_first_that_has_paid_for_the_hardware(capex: int, cloud: int, opex: int) -> None:
    month = assessed(capex / 100, cloud / 100, opex / 100).break_even_month
    gain = cloud - opex
    if month is None:
        assert gain <= 0
    else:
        assert gain > 0
        assert gain * month >= capex
        assert month == 0 or gain * (month - 1) < capex


@given(capex=cents, cloud=cents, opex=cents)
def test_the_rule_and_the_break_even_month_never_contradict_each_other(capex: int, cloud: int, opex: int) -> None:
    found = assessed(capex / 100, cloud / 100, opex / 100)
    if found.edge_pays:
        assert found.break_even_month is not None
        assert found.break_even_month <= AMORTISATION_MONTHS
    elif found.break_even_month is not None:
        assert found.break_even_month >= AMORTISATION_MONTHS


@given(capex=cents, cloud=cents, opex=cents)
def test_what_is_saved_is_the_difference_of_what_is_shown(capex: int, cloud: int, opex: int) -> None:
    found = assessed(capex / 100, cloud / 100, opex / 100)
    assert found.saving_usd_per_month == pytest.approx(found.cloud_usd_per_month - found.edge_usd_per_month, abs=0.011)
    assert found.saving_percent <= 100


@given(st.lists(st.tuples(cents, cents, cents), min_size=1, max_size=6))
def test_sites_together_cost_the_sum_of_what_they_cost(amounts: list[tuple[int, int, int]]) -> None:
    specs = [
        EconomicsSpec(capex_usd=capex / 100, cloud_usd_per_month=cloud / 100, edge_opex_usd_per_month=opex / 100)
        for capex, cloud, opex in amounts
    ]
    total = together(specs)
    assert total.capex_usd == sum(capex for capex, _, _ in amounts) / 100
    assert total.cloud_usd_per_month == sum(cloud for _, cloud, _ in amounts) / 100
    assert total.edge_opex_usd_per_month == sum(opex for _, _, opex in amounts) / 100


def test_what_a_scenario_fills_in_counts_in_the_sum() -> None:
    total = together([EconomicsSpec(scenario="cdn-5-pops", capex_usd=usd) for usd in (1, 2)])
    cloud, opex = SCENARIOS["cdn-5-pops"]
    assert (total.capex_usd, total.cloud_usd_per_month, total.edge_opex_usd_per_month) == (3, 2 * cloud, 2 * opex)


@given(capex=cents, cloud=cents, opex=cents)
def test_the_lines_cross_in_the_month_of_the_break_even(capex: int, cloud: int, opex: int) -> None:
    spec = EconomicsSpec(capex_usd=capex / 100, cloud_usd_per_month=cloud / 100, edge_opex_usd_per_month=opex / 100)
    month = assess(spec).break_even_month
    spent = cumulative(spec, 48)
    assert spent[0] == (capex / 100, 0)
    cheaper = [number for number, (edge, cloud_usd) in enumerate(spent) if number and edge <= cloud_usd]
    if month is None or month > 48:
        assert not cheaper or cloud == opex
    else:
        assert cheaper[0] == max(month, 1)
