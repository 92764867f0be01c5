"""Every rule: kept by the bases, broken by exactly its own fixtures, and never passed over in silence."""

from __future__ import annotations

import dataclasses

import pytest

from policies.rules import CATALOGUE, GROUPS, RULES, Resource, Rule, evaluate
from policies.rules.kinds import kind_of
from tests.policies.cases import SETTINGS, Absent, Case, Hidden, absent, base, base_names, cases, entries, hidden

LEVELS = {rule.id: rule.level for rule in RULES}


@pytest.mark.parametrize("name", base_names())
def test_a_compliant_resource_has_no_finding(name: str) -> None:
    assert evaluate(base(name), SETTINGS) == ()


@pytest.mark.parametrize("case", cases(), ids=str)
def test_one_change_breaks_exactly_one_rule_at_its_level(case: Case) -> None:
    findings = case.findings()
    assert {finding.rule for finding in findings} == case.rules
    assert {finding.level for finding in findings} == {LEVELS[case.rule]}


@pytest.mark.parametrize("case", hidden(), ids=str)
def test_an_unknown_value_is_reported_by_the_rules_that_must_see_it_and_by_no_other(case: Hidden) -> None:
    assert {finding.rule for finding in case.findings()} == {case.rule, *case.also}


@pytest.mark.parametrize("case", absent(), ids=str)
def test_a_value_that_is_absent_breaks_the_rule_exactly_where_it_asks_for_it(case: Absent) -> None:
    found = case.rule in {finding.rule for finding in case.findings()}
    assert found == case.asked_for, f"{case.path} absent: say in `asked_for` of {case.rule}.yaml whether it is wrong"


OTHER_TYPES = ("example:index/other:Other", "kubernetes:core/v1:Endpoints", "edge:index:Other", "random:index/id:Id")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_same_properties_in_a_resource_of_another_type_are_none_of_the_rules_business(rule: Rule) -> None:
    other = next((token for token in OTHER_TYPES if not rule.applies(kind_of(token))), None)
    assert other is not None, f"{rule.id} applies to every type: narrow `applies`, or add a type to OTHER_TYPES"
    for case in cases():
        if case.rule == rule.id:
            found = evaluate(Resource(other, "x", "urn:x", case.resource().props), case.settings)
            assert rule.id not in {finding.rule for finding in found}


def lacking(rule: Rule) -> list[str]:
    """What the fixtures of a rule lack, in words."""
    mine = [entry for entry in entries() if entry.rule == rule.id]
    if not mine:
        return [f"tests/fixtures/policies/{rule.id}.yaml: a list of entries, each with `base:` and `breaks:`"]
    found = []
    by_type = [entry for entry in mine if all("type" in change for change in entry.document.get("breaks", ()))]
    if not by_type and not any(rule.applies(kind_of(base(entry.base).type)) for entry in mine):
        found.append("`base:` must name a compliant resource (in bases/) of a type that the rule judges")
    if not any(entry.document.get("breaks") for entry in mine):
        found.append("`breaks:` must have changes (`set:`, `remove:`, or another key of the base) that break the rule")
    known = any(entry.document.get("always_known") for entry in mine)
    seen = {one for case in hidden() for one in (case.rule, *case.also)}
    if not known and rule.id not in seen:
        found.append(
            "`unknown:` must list property paths that the rule has to see; `asked_for:` those that must be there; "
            "a rule about what is always known says so in `always_known:`"
        )
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_is_tested_with_a_compliant_a_broken_an_unknown_and_an_absent_value(rule: Rule) -> None:
    assert not (missing := lacking(rule)), f"{rule.id} needs more fixtures: " + "; ".join(missing)


def test_every_fixture_is_one_of_a_rule() -> None:
    assert {entry.rule for entry in entries()} == {rule.id for rule in RULES}


def test_a_new_rule_without_fixtures_is_told_what_to_add() -> None:
    (rule,) = (rule for rule in RULES if rule.id == "workload/no-privileged")
    (said,) = lacking(dataclasses.replace(rule, id="workload/new"))
    assert said == "tests/fixtures/policies/workload/new.yaml: a list of entries, each with `base:` and `breaks:`"


def test_findings_say_where_and_what_to_do() -> None:
    for case in cases():
        for finding in case.findings():
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
