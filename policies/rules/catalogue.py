"""All rules, and the one place that runs them: no rule is skipped, and a rule that fails is a finding."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

from policies.rules import namespaces, network, secrets, supply_chain, workload
from policies.rules.kinds import Kind, kind_of
from policies.rules.model import (
    DEFAULT_SETTINGS,
    Finding,
    Group,
    HiddenError,
    Level,
    Resource,
    Settings,
    Violation,
)
from policies.rules.rule import Entry, Rule, StackRule, hidden
from policies.rules.subject import Subject, subjects

RULES: tuple[Rule, ...] = (*workload.RULES, *network.RULES, *supply_chain.RULES, *secrets.RULES)
"""Rules about one object."""

STACK_RULES: tuple[StackRule, ...] = namespaces.STACK_RULES
"""Rules about all objects of a stack together."""

CATALOGUE: tuple[Entry, ...] = (*RULES, *STACK_RULES)

GROUPS: tuple[Group, ...] = ("workload", "network", "supply-chain", "secrets")


def evaluate(
    resource: Resource,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    rules: Sequence[Rule] | None = None,
) -> tuple[Finding, ...]:
    """Everything that is wrong with ``resource``. Never raises for what the resource holds.

    ``rules`` are those to judge by, all by default. A rule that raises is a mandatory finding.
    """
    findings: dict[Finding, None] = {}
    for subject in subjects(resource, settings):
        for rule in _rules_for(subject.kind) if rules is None else _applicable(rules, subject.kind):
            for finding in _judge(rule, subject):
                findings[finding] = None
    return tuple(findings)


def evaluate_stack(resources: Iterable[Resource], settings: Settings = DEFAULT_SETTINGS) -> tuple[Finding, ...]:
    """Everything that is wrong with a stack: with each of its resources, and with all of them together."""
    resources = list(resources)
    alone = [finding for resource in resources for finding in evaluate(resource, settings)]
    return (*alone, *evaluate_together(resources, settings))


def evaluate_together(
    resources: Iterable[Resource],
    settings: Settings = DEFAULT_SETTINGS,
    *,
    rules: Sequence[StackRule] = STACK_RULES,
) -> tuple[Finding, ...]:
    """What the stack rules find in ``resources``, which are all of a stack. Never raises for what they hold."""
    found = [
        subject for resource in resources if matters_to_stack(resource.type) for subject in subjects(resource, settings)
    ]
    findings: dict[Finding, None] = {}
    for rule in rules:
        for finding in _judge_together(rule, [subject for subject in found if rule.applies(subject.kind)]):
            findings[finding] = None
    return tuple(findings)


@functools.lru_cache(maxsize=4096)
def matters_to_stack(token: str) -> bool:
    """Whether any stack rule looks at resources of this type. A list may hold anything."""
    kind = kind_of(token)
    return _is_list(kind) or any(rule.applies(kind) for rule in STACK_RULES)


@functools.lru_cache(maxsize=4096)
def concerns(token: str, group: str) -> bool:
    """Whether any rule of ``group`` may apply to a resource of this type. A list may hold anything."""
    kind = kind_of(token)
    return _is_list(kind) or any(rule.group == group for rule in _rules_for(kind))


def _is_list(kind: Kind) -> bool:
    return kind.provider == "kubernetes" and kind.name.endswith("List")


@functools.lru_cache(maxsize=1024)
def _rules_for(kind: Kind) -> tuple[Rule, ...]:
    return _applicable(RULES, kind)


def _applicable(rules: Sequence[Rule], kind: Kind) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.applies(kind))


def _judge(rule: Rule, subject: Subject) -> Iterator[Finding]:
    try:
        for violation in rule.check(subject):
            yield _finding(rule, subject, violation)
    except HiddenError as error:
        yield _finding(rule, subject, hidden(error))
    except Exception as error:
        yield _fault(rule, error, subject.resource.urn, subject.root.path)


def _judge_together(rule: StackRule, found: Sequence[Subject]) -> Iterator[Finding]:
    try:
        for subject, violation in rule.check(found):
            yield _finding(rule, subject, violation)
    except Exception as error:
        yield _fault(rule, error, urn="", path="")


def _fault(rule: Entry, error: Exception, urn: str, path: str) -> Finding:
    """A rule that raised. The error's text may quote a value; its type cannot."""
    return Finding(
        rule=rule.id,
        level="mandatory",
        urn=urn,
        message=f"the rule could not run here ({type(error).__name__}), so nothing is known about it",
        path=path,
        remedy="Report this as a bug in the policy pack; until it is fixed, the resource counts as refused.",
        fault=True,
    )


def _finding(rule: Entry, subject: Subject, violation: Violation) -> Finding:
    level: Level = "advisory" if violation.hidden and rule.unknown == "warns" else rule.level
    return Finding(rule.id, level, subject.resource.urn, violation.message, violation.path, rule.remedy)
