"""Every rule: kept by the bases, broken by exactly its own fixtures, and never passed over in silence."""

from __future__ import annotations

import pytest

from policies.rules import CATALOGUE, GROUPS, RULES, evaluate
from tests.policies.cases import SETTINGS, Case, Hidden, base, base_names, cases, hidden

LEVELS = {rule.id: rule.level for rule in RULES}


@pytest.mark.parametrize("name", base_names())
def test_a_compliant_resource_has_no_finding(name: str) -> None:
    assert evaluate(base(name), SETTINGS) == ()


@pytest.mark.parametrize("case", cases(), ids=str)
def test_one_change_breaks_exactly_one_rule_at_its_level(case: Case) -> None:
    findings = evaluate(case.resource(), SETTINGS)
    assert {finding.rule for finding in findings} == case.rules
    assert {finding.level for finding in findings} == {LEVELS[case.rule]}


@pytest.mark.parametrize("case", hidden(), ids=str)
def test_an_unknown_value_is_reported_by_the_rules_that_must_see_it_and_by_no_other(case: Hidden) -> None:
    findings = evaluate(case.resource(), SETTINGS)
    assert {finding.rule for finding in findings} == {case.rule, *case.also}


def test_every_rule_has_fixtures_that_break_it() -> None:
    assert {case.rule for case in cases()} == {rule.id for rule in RULES}


def test_every_rule_has_a_fixture_with_something_unknown() -> None:
    seen = {rule for case in hidden() for rule in (case.rule, *case.also)}
    assert seen == {rule.id for rule in RULES}


def test_findings_say_where_and_what_to_do() -> None:
    for case in cases():
        for finding in evaluate(case.resource(), SETTINGS):
            assert finding.path, finding
            assert finding.message, finding
            assert finding.remedy, finding
            assert finding.urn == case.resource().urn


def test_rule_ids_are_unique_and_begin_with_their_group() -> None:
    assert len({rule.id for rule in CATALOGUE}) == len(CATALOGUE)
    assert {rule.group for rule in CATALOGUE} == set(GROUPS)


def test_what_a_site_file_can_mend_is_told_in_its_words() -> None:
    (rule,) = (rule for rule in RULES if rule.id == "supply-chain/flux-source-verified")
    for word in ("`verify:`", "`gitops.source`", "`keys:`", "`identities:`"):
        assert word in rule.remedy
