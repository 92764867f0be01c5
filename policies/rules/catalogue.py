"""The catalogue, whole, and the one place that runs it: nothing is skipped, and nothing fails in silence."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

from policies.rules import network, secrets, supply_chain, workload
from policies.rules.kinds import Kind, kind_of
from policies.rules.model import (
    DEFAULT_SETTINGS,
    Finding,
    Group,
    HiddenError,
    Level,
    Resource,
    Rule,
    Settings,
    Violation,
)
from policies.rules.pods import hidden
from policies.rules.subject import Subject, subjects

RULES: tuple[Rule, ...] = (*workload.RULES, *network.RULES, *supply_chain.RULES, *secrets.RULES)

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
    """Everything that is wrong with a stack."""
    return tuple(finding for resource in resources for finding in evaluate(resource, settings))


@functools.lru_cache(maxsize=4096)
def concerns(token: str, group: str) -> bool:
    """Whether any rule of ``group`` may apply to a resource of this type. A list may hold anything."""
    kind = kind_of(token)
    if kind.provider == "kubernetes" and kind.name.endswith("List"):
        return True
    return any(rule.group == group for rule in _rules_for(kind))


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
        # The error's text may quote a value; its type cannot.
        yield Finding(
            rule=rule.id,
            level="mandatory",
            urn=subject.resource.urn,
            message=f"the rule could not run here ({type(error).__name__}), so nothing is known about it",
            path=subject.root.path,
            remedy="Report this as a fault of the policy pack; until then the resource counts as refused.",
        )


def _finding(rule: Rule, subject: Subject, violation: Violation) -> Finding:
    level: Level = "advisory" if violation.hidden and rule.unknown == "warns" else rule.level
    return Finding(rule.id, level, subject.resource.urn, violation.message, violation.path, rule.remedy)
