"""Every rule about a whole stack: kept by its fixture, broken by each change of it, never in silence."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from policies.rules import STACK_RULES, UNKNOWN, Finding, Resource, StackRule, evaluate_together
from policies.rules.kinds import kind_of
from tests.policies.cases import FIXTURES, SETTINGS, drop, put
from tests.policies.test_rules import OTHER_TYPES

Change = Callable[[dict[str, Any]], None]


def path_of(rule: StackRule) -> str:
    return f"stack/{rule.id}.yaml"


def fixture(rule: StackRule) -> dict[str, Any]:
    path = FIXTURES / path_of(rule)
    document: dict[str, Any] = yaml.safe_load(path.read_text()) if path.is_file() else {}
    return document


def findings(
    rule: StackRule,
    *,
    without: tuple[str, ...] = (),
    change: Change = lambda _: None,
    outputs: Mapping[str, Any] | None = None,
) -> tuple[Finding, ...]:
    """What the rule finds in its fixture, without some resources and after a change of the others' properties.

    ``outputs`` are, by name, those that resources have in place of the fixture's.
    """
    resources: Mapping[str, Any] = fixture(rule).get("resources", {})
    props = {name: copy.deepcopy(made["props"]) for name, made in resources.items() if name not in without}
    change(props)
    stack = [
        Resource(
            made["type"],
            name,
            f"urn:{name}",
            props[name],
            provider=made.get("provider", ""),
            outputs=(outputs or {}).get(name, made.get("outputs", {})),
        )
        for name, made in resources.items()
        if name in props
    ]
    return evaluate_together(stack, SETTINGS, rules=[rule])


def changed(entry: Mapping[str, Any]) -> Change:
    def change(props: dict[str, Any]) -> None:
        for path, value in entry.get("set", {}).items():
            put(props, path, value)

    return change


def lacking(rule: StackRule) -> list[str]:
    """What the fixture of a rule lacks, in words."""
    document = fixture(rule)
    if not document:
        return [f"tests/fixtures/policies/{path_of(rule)}: `resources:` that are compliant together, and `breaks:`"]
    found = []
    if not any(rule.applies(kind_of(made["type"])) for made in document.get("resources", {}).values()):
        found.append("`resources:` must have one of a type that the rule judges")
    if not document.get("breaks"):
        found.append("`breaks:` must have changes (`set:`, `outputs:`, or `remove:` with names) that break the rule")
    if not document.get("unknown") and not document.get("unknown_is_fine"):
        found.append(
            "`unknown:` must list paths that the rule has to see; `unknown_is_fine:` those of which it does not"
        )
    return found


@pytest.mark.parametrize("rule", STACK_RULES, ids=lambda rule: rule.id)
def test_every_stack_rule_is_tested_with_a_compliant_a_broken_an_unknown_and_an_absent_value(rule: StackRule) -> None:
    assert not (missing := lacking(rule)), f"{rule.id} needs more fixtures: " + "; ".join(missing)


def test_a_new_stack_rule_without_a_fixture_is_told_what_to_add() -> None:
    (said,) = lacking(dataclasses.replace(STACK_RULES[0], id="network/new"))
    assert said.startswith("tests/fixtures/policies/stack/network/new.yaml: `resources:`")


def test_every_fixture_is_one_of_a_stack_rule() -> None:
    there = {path.relative_to(FIXTURES).as_posix() for path in FIXTURES.glob("stack/*/*.yaml")}
    assert there == {path_of(rule) for rule in STACK_RULES}


@pytest.mark.parametrize("rule", STACK_RULES, ids=lambda rule: rule.id)
def test_the_fixture_as_it_is_keeps_the_rule(rule: StackRule) -> None:
    assert findings(rule) == ()


@pytest.mark.parametrize(
    ("rule", "entry"),
    [(rule, entry) for rule in STACK_RULES for entry in fixture(rule).get("breaks", ())],
    ids=lambda one: one.id if isinstance(one, StackRule) else str(one),
)
def test_each_change_breaks_the_rule(rule: StackRule, entry: Mapping[str, Any]) -> None:
    found = findings(rule, without=tuple(entry.get("remove", ())), change=changed(entry), outputs=entry.get("outputs"))
    assert {(one.rule, one.level, one.fault) for one in found} == {(rule.id, rule.level, False)}
    assert all(one.path and one.urn and one.remedy for one in found)


@pytest.mark.parametrize(
    ("rule", "path", "fails"),
    [
        (rule, path, key == "unknown")
        for rule in STACK_RULES
        for key in ("unknown", "unknown_is_fine")
        for path in fixture(rule).get(key, ())
    ],
    ids=lambda one: one.id if isinstance(one, StackRule) else str(one),
)
def test_an_unknown_value_fails_wherever_the_rule_has_to_see_it(rule: StackRule, path: str, fails: bool) -> None:
    found = findings(rule, change=lambda props: put(props, path, UNKNOWN))
    assert bool(found) == fails
    assert not any(one.fault for one in found)


@pytest.mark.parametrize(
    ("rule", "path"),
    [(rule, path) for rule in STACK_RULES for key in ("unknown", "absent") for path in fixture(rule).get(key, ())],
    ids=lambda one: one.id if isinstance(one, StackRule) else str(one),
)
def test_an_absent_value_breaks_the_rule_exactly_where_it_asks_for_it(rule: StackRule, path: str) -> None:
    asked_for = path in fixture(rule).get("asked_for", ())
    found = findings(rule, change=lambda props: drop(props, path))
    assert bool(found) == asked_for, f"say in `asked_for` of {path_of(rule)} whether it is wrong"
    assert not any(one.fault for one in found)


@pytest.mark.parametrize("rule", STACK_RULES, ids=lambda rule: rule.id)
def test_resources_of_other_types_are_none_of_the_rules_business(rule: StackRule) -> None:
    assert not any(rule.applies(kind_of(token)) for token in OTHER_TYPES)
    for made in fixture(rule).get("resources", {}).values():
        assert evaluate_together([Resource(OTHER_TYPES[0], "x", "urn:x", made["props"])], SETTINGS, rules=[rule]) == ()
