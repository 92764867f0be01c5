"""Which rules there are, and the one place that runs them: no rule is skipped, and a rule that fails is a finding."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from policies.rules import (
    aws,
    azure,
    cluster,
    fetched,
    flux_sources,
    host,
    image_mirrors,
    image_rewrites,
    k3s,
    k3s_arguments,
    machine,
    namespaces,
    network,
    opaque,
    secrets,
    site,
    supply_chain,
    workload,
)
from policies.rules.charts import is_chart
from policies.rules.embedded import may_hold_manifests
from policies.rules.kinds import Kind, kind_of
from policies.rules.kubernetes_version import stack_settings
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

RULES: tuple[Rule, ...] = (
    *workload.RULES,
    *network.RULES,
    *supply_chain.RULES,
    *fetched.RULES,
    *image_rewrites.RULES,
    *image_mirrors.RULES,
    *opaque.RULES,
    *secrets.RULES,
    *cluster.RULES,
    *host.RULES,
    *k3s.RULES,
    *k3s_arguments.RULES,
    *machine.RULES,
    *site.RULES,
    *aws.RULES,
    *azure.RULES,
)
"""The program's rules about one object."""

STACK_RULES: tuple[StackRule, ...] = (
    *namespaces.STACK_RULES,
    *flux_sources.STACK_RULES,
    *machine.STACK_RULES,
    *cluster.STACK_RULES,
    *aws.STACK_RULES,
)
"""The program's rules about all objects of a stack together."""

GROUPS: tuple[Group, ...] = (
    "workload",
    "network",
    "supply-chain",
    "secrets",
    "cluster",
    "host",
    "site",
    "aws",
    "azure",
)
"""The groups of the program's rules."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The rules that a stack is judged by."""

    rules: tuple[Rule, ...] = RULES
    stack_rules: tuple[StackRule, ...] = STACK_RULES

    def __iter__(self) -> Iterator[Entry]:
        return iter((*self.rules, *self.stack_rules))

    def __len__(self) -> int:
        return len(self.rules) + len(self.stack_rules)

    @property
    def groups(self) -> tuple[str, ...]:
        """The program's groups, then a company's own."""
        return tuple(dict.fromkeys((*GROUPS, *(rule.group for rule in self))))


_RAISED = (Exception, SystemExit)
"""What a rule may raise. One that calls `sys.exit` must not end the run as if nothing were wrong."""

CATALOGUE = Catalogue()
"""The program's own rules, without a company's."""


RESOURCES_MANDATORY, RESOURCES_ADVISORY = "edge-resources-mandatory", "edge-resources-advisory"
STACK_MANDATORY = "edge-stack-mandatory"
"""The policies, in Pulumi's sense, that run the rules."""


def policy_of(rule: Entry) -> str:
    """The name of the policy, in Pulumi's sense, that reports what a rule finds.

    Rules about a whole stack have no advisory policy.
    """
    if isinstance(rule, StackRule):
        return STACK_MANDATORY
    return RESOURCES_MANDATORY if rule.level == "mandatory" else RESOURCES_ADVISORY


def rules_of(policies: Collection[str], catalogue: Catalogue = CATALOGUE) -> frozenset[str]:
    """Ids of the rules that run where these policies do, by name."""
    return frozenset(rule.id for rule in catalogue if policy_of(rule) in policies)


def evaluate(
    resource: Resource,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    rules: Sequence[Rule] | None = None,
    catalogue: Catalogue = CATALOGUE,
) -> tuple[Finding, ...]:
    """Everything that is wrong with ``resource``. Never raises for what the resource holds.

    ``rules`` are those to judge by, all of the catalogue by default. A rule that raises is a mandatory finding.
    """
    findings: dict[Finding, None] = {}
    for subject in subjects(resource, settings):
        for rule in _rules_for(catalogue, subject.kind) if rules is None else _applicable(rules, subject.kind):
            for finding in _judge(rule, subject):
                findings[finding] = None
        if is_chart(subject.kind):
            findings.update(dict.fromkeys(_recorded(subject, catalogue, rules)))
    return tuple(findings)


def evaluate_stack(
    resources: Iterable[Resource], settings: Settings = DEFAULT_SETTINGS, catalogue: Catalogue = CATALOGUE
) -> tuple[Finding, ...]:
    """Everything that is wrong with a stack: with each of its resources, and with all of them together.

    Where the stack has its cluster, that says which Kubernetes counts.
    """
    resources = list(resources)
    settings = stack_settings(settings, resources)
    alone = [finding for resource in resources for finding in evaluate(resource, settings, catalogue=catalogue)]
    return (*alone, *evaluate_together(resources, settings, catalogue=catalogue))


def evaluate_together(
    resources: Iterable[Resource],
    settings: Settings = DEFAULT_SETTINGS,
    *,
    rules: Sequence[StackRule] | None = None,
    catalogue: Catalogue = CATALOGUE,
) -> tuple[Finding, ...]:
    """What the stack rules find in ``resources``, which are all of a stack. Never raises for what they hold.

    ``rules`` are those to judge by, all of the catalogue by default.
    """
    found = [
        subject
        for resource in resources
        if matters_to_stack(resource.type, catalogue)
        for subject in subjects(resource, settings)
    ]
    findings: dict[Finding, None] = {}
    for rule in catalogue.stack_rules if rules is None else rules:
        for finding in _judge_together(rule, found):
            findings[finding] = None
    return tuple(findings)


@functools.lru_cache(maxsize=4096)
def matters_to_stack(token: str, catalogue: Catalogue = CATALOGUE) -> bool:
    """Whether any stack rule looks at resources of this type. A list, a custom resource or a
    ConfigMap may hold anything."""
    kind = kind_of(token)
    return _holds_others(kind) or any(_may_apply(rule, kind) for rule in catalogue.stack_rules)


@functools.lru_cache(maxsize=4096)
def concerns(token: str, catalogue: Catalogue = CATALOGUE) -> bool:
    """Whether any rule may apply to a resource of this type. A list, a custom resource or a ConfigMap may hold
    anything."""
    kind = kind_of(token)
    return _holds_others(kind) or bool(_rules_for(catalogue, kind))


def _holds_others(kind: Kind) -> bool:
    return may_hold_manifests(kind) or (kind.provider == "kubernetes" and kind.name.endswith("List"))


@functools.lru_cache(maxsize=1024)
def _rules_for(catalogue: Catalogue, kind: Kind) -> tuple[Rule, ...]:
    return _applicable(catalogue.rules, kind)


def _applicable(rules: Sequence[Rule], kind: Kind) -> tuple[Rule, ...]:
    """The rules that look at objects of this kind; one that cannot tell does, and fails there."""
    found = []
    for rule in rules:
        try:
            if rule.applies(kind):
                found.append(rule)
        except _RAISED as error:
            found.append(replace(rule, check=_failing(error)))
    return tuple(found)


def _failing(error: BaseException) -> Callable[[Subject], Iterable[Violation]]:
    def check(_subject: Subject) -> Iterable[Violation]:
        raise error

    return check


def _may_apply(rule: StackRule, kind: Kind) -> bool:
    try:
        return rule.applies(kind)
    except _RAISED:
        return True


def _judge(rule: Rule, subject: Subject) -> Iterator[Finding]:
    try:
        for violation in rule.check(subject):
            yield _finding(rule, subject, violation)
    except HiddenError as error:
        yield _finding(rule, subject, hidden(error))
    except _RAISED as error:
        yield _fault(rule, error, subject.resource.urn, subject.root.path)


def _judge_together(rule: StackRule, found: Sequence[Subject]) -> Iterator[Finding]:
    try:
        for subject, violation in rule.check([subject for subject in found if rule.applies(subject.kind)]):
            yield _finding(rule, subject, violation)
    except _RAISED as error:
        yield _fault(rule, error, urn="", path="")


def _recorded(subject: Subject, catalogue: Catalogue, rules: Sequence[Rule] | None) -> Iterator[Finding]:
    """What the record says of the objects that a chart renders to."""
    verdict = subject.verdict
    if verdict is None:
        return
    groups = {rule.group for rule in catalogue.rules if rules is None or rule in rules}
    judged = [*(catalogue.rules if rules is None else rules), *(r for r in catalogue.stack_rules if r.group in groups)]
    review = subject.settings.charts.review(verdict.chart, verdict.version)
    by_rule = {rule.id: rule for rule in judged}
    for rule in judged:
        if rule.id not in verdict.rules:
            newer = "cannot be judged by its record: the rule is newer; run `edge check --charts` again"
            yield _finding(rule, subject, Violation("chart", newer, hidden=True))
    for found in verdict.findings:
        if (known := by_rule.get(found.rule)) is not None:
            finding = _finding(known, subject, Violation(f"chart: {found.path}", found.message))
            if review is not None and finding.level == "mandatory":
                finding = replace(finding, level="waived", waiver=f"{review.reason} ({review.owner})")
            yield finding


def _fault(rule: Entry, error: BaseException, urn: str, path: str) -> Finding:
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
    return Finding(
        rule.id,
        level,
        subject.resource.urn,
        violation.message,
        violation.path,
        rule.remedy,
        resource=subject.resource.name,
        workload=subject.workload,
        images=subject.images_at(violation.path),
    )
