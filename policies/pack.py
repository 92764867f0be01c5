"""The policy pack: the same rules, as Pulumi's CrossGuard runs them in ``preview`` and ``up``.

Turns CrossGuard's proxies into plain values with ``UNKNOWN`` in them before any rule sees them: when a policy touches
an unknown value, CrossGuard stops it and reports only an advisory. There is one policy for each group and level, and
no more, because Pulumi converts every resource again for each policy. Judges nothing itself.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pulumi
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyComplianceFramework,
    PolicyConfigSchema,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from policies import CONFIG_FILE, WAIVERS_FILE, own
from policies import settings as pack_settings
from policies.charts import used_records
from policies.rules import (
    CATALOGUE,
    DEFAULT_SETTINGS,
    RULES,
    UNKNOWN,
    Catalogue,
    Entry,
    Finding,
    Resource,
    Rule,
    Settings,
    StackRule,
    Waiver,
    evaluate,
    evaluate_together,
    kubernetes_version,
)
from policies.rules.catalogue import concerns, matters_to_stack, policy_name
from policies.rules.charts import is_chart
from policies.rules.kinds import kind_of
from policies.rules.pod_security import POD_SECURITY_VERSION
from policies.rules.waivers import apply, publishes, waivers_of
from sitefile.problems import FileError

NAME = "edge"
WAIVED = pack_settings.WAIVED
FOLDER = Path(__file__).parent
"""The program's own pack."""
_SEVERITIES = ("low", "medium", "high", "critical")
_OWASP = "https://owasp.org/www-project-kubernetes-top-ten/"
_PROMISES: Mapping[str, str] = {
    "workload": "A workload has no access to its host beyond what it needs.",
    "network": "A site exposes nothing to the outside and encrypts what its hosts exchange.",
    "supply-chain": "Everything that runs at a site is pinned and comes from a trusted source.",
    "secrets": "No secret is kept or shown in plain text.",
    "cluster": "Nobody and nothing in a cluster has more rights than it needs.",
    "host": "A host is the one that the site file names, and it and its K3s are hardened as their benchmarks ask.",
    "site": "A site is what its description says, and outlives an outage.",
    "aws": "What a site has in AWS is closed to the Internet, encrypted and bound to what it needs.",
    "azure": "What a site has in Azure is closed to the Internet and bound to what it needs.",
}
"""What each group guarantees; Pulumi shows it before each message."""
_OWN_PROMISE = "A site keeps the rules of its company."


def _top_ten(risk: str) -> PolicyComplianceFramework:
    return PolicyComplianceFramework("OWASP Kubernetes Top Ten", "2022", risk, _OWASP)


_FRAMEWORKS: Mapping[tuple[str, EnforcementLevel], PolicyComplianceFramework] = {
    ("workload", EnforcementLevel.MANDATORY): PolicyComplianceFramework(
        "Kubernetes Pod Security Standards",
        POD_SECURITY_VERSION,
        "restricted",
        "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
    ),
    # What is only advised goes beyond the restricted standard.
    ("workload", EnforcementLevel.ADVISORY): _top_ten("K01"),
    ("network", EnforcementLevel.MANDATORY): _top_ten("K07"),
    ("supply-chain", EnforcementLevel.MANDATORY): _top_ten("K02"),
    ("secrets", EnforcementLevel.MANDATORY): _top_ten("K08"),
    ("secrets", EnforcementLevel.ADVISORY): _top_ten("K08"),
    ("host", EnforcementLevel.MANDATORY): _top_ten("K09"),
    ("host", EnforcementLevel.ADVISORY): _top_ten("K09"),
    ("site", EnforcementLevel.MANDATORY): _top_ten("K05"),
    ("site", EnforcementLevel.ADVISORY): _top_ten("K05"),
    ("cluster", EnforcementLevel.MANDATORY): _top_ten("K03"),
    ("aws", EnforcementLevel.MANDATORY): PolicyComplianceFramework(
        "CIS AWS Foundations", "3.0", "5.2", "https://www.cisecurity.org/benchmark/amazon_web_services"
    ),
    ("azure", EnforcementLevel.MANDATORY): PolicyComplianceFramework(
        "Microsoft cloud security benchmark", "1.0", "NS-1", "https://learn.microsoft.com/security/benchmark/azure/"
    ),
}


def pack(folder: Path = FOLDER) -> None:
    """Serve the pack to the engine; returns when the engine stops it.

    ``folder`` is the pack's own, with its settings and a company's own rules. What is wrong there ends the process, and
    with it the run.
    """
    try:
        catalogue = own.catalogue_of(folder)
        settings = pack_settings.load(folder / CONFIG_FILE, catalogue.groups)
        company = _company_waivers(folder, catalogue)
    except (FileError, pack_settings.SettingsError) as error:
        sys.exit(f"error: {error}")
    PolicyPack(
        NAME,
        policies(settings, catalogue=catalogue, company=company),
        enforcement_level=EnforcementLevel.MANDATORY,
        description="What an edge site may not do.",
        display_name="Edge sites",
        tags=["edge", "kubernetes"],
    )


def _company_waivers(folder: Path, catalogue: Catalogue) -> tuple[Waiver, ...]:
    """What the company allows at sites. Raises ``FileError``."""
    if not (folder / WAIVERS_FILE).exists():
        return ()
    # Only here: a pack without them starts without the model of the file.
    from policies import company_waivers

    found = company_waivers.load(folder, [rule.id for rule in catalogue])
    return found.of_sites if found else ()


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass
class _Stack:
    """What the policies have seen of a stack so far."""

    today: Callable[[], date]
    catalogue: Catalogue
    inputs: dict[str, Resource] = field(default_factory=dict)
    """By URN, the resources that the stack policies look at."""
    waivers: dict[str, tuple[Waiver, ...]] = field(default_factory=dict)
    """By URN of the site that publishes them. It is its resources' parent, so it is seen before them."""
    kubernetes: dict[str, int] = field(default_factory=dict)
    """By URN of the cluster, the minor of Kubernetes that it runs. What runs in it is seen after it."""
    waived: dict[Finding, str] = field(default_factory=dict)
    """Findings that do not count, each with the message about it."""
    base: Settings = DEFAULT_SETTINGS
    company: Sequence[Waiver] = ()
    """What the company allows at its sites."""
    charts: dict[str, str] = field(default_factory=dict)
    """By URN, how a chart was judged that this run does not render."""

    def see(self, args: ResourceValidationArgs) -> None:
        if matters_to_stack(args.resource_type, self.catalogue):
            with contextlib.suppress(TypeError):
                self.inputs[args.urn] = resource_of(args)
        if kubernetes_version.runs(args.resource_type):
            with contextlib.suppress(TypeError):
                found = kubernetes_version.minor_of(resource_of(args))
                self.kubernetes |= {} if found is None else {args.urn: found}
        if is_chart(kind_of(args.resource_type)) and args.urn not in self.charts:
            with contextlib.suppress(TypeError):
                self.charts[args.urn] = "; ".join(used_records([resource_of(args)], self.base))
        if publishes(args.resource_type):
            self.waivers.pop(args.urn, None)
            with contextlib.suppress(TypeError):
                self.waivers[args.urn] = waivers_of(resource_of(args))

    def settings(self, base: Settings, config: Mapping[str, Any]) -> Settings:
        """``base`` with what Pulumi's own configuration changes, for the cluster of the stack."""
        return kubernetes_version.in_stack(pack_settings.apply(base, config), self.kubernetes.values())

    def counted(self, findings: Sequence[Finding], name: Callable[[Finding], str]) -> list[Finding]:
        """``findings`` without the waived ones, which are kept to be shown."""
        waivers = [*(waiver for published in self.waivers.values() for waiver in published), *self.company]
        judged = apply(findings, waivers, self.today())
        self.waived |= {one: message_of(name(one), one) for one in judged if one.level == "waived"}
        return [finding for finding in judged if finding.level != "waived"]


def policies(
    base: Settings | None = None,
    today: Callable[[], date] = _today,
    catalogue: Catalogue = CATALOGUE,
    company: Sequence[Waiver] = (),
) -> list[Policy]:
    """The pack's policies; ``base`` are the settings below Pulumi's own configuration, the program's by default.

    ``today`` gives the day (UTC) on which waivers must not have expired. ``company`` are waivers beside those of sites.
    """
    base = pack_settings.load(FOLDER / CONFIG_FILE) if base is None else base
    seen = _Stack(today, catalogue, base=base, company=company)
    found: list[Policy] = []
    for group in catalogue.groups:
        if rules := tuple(rule for rule in catalogue.rules if rule.group == group):
            found.append(_policy(group, EnforcementLevel.MANDATORY, rules, base, seen))
        if any(rule.level == "advisory" or rule.unknown == "warns" for rule in rules):
            found.append(_policy(group, EnforcementLevel.ADVISORY, rules, base, seen))
        if stack_rules := tuple(rule for rule in catalogue.stack_rules if rule.group == group):
            found.append(_stack_policy(group, stack_rules, base, seen))
    return [*found, _waived_policy(seen)]


def _policy(
    group: str, level: EnforcementLevel, rules: Sequence[Rule], base: Settings, seen: _Stack
) -> ResourceValidationPolicy:
    """One policy. It runs all rules of its group: an advisory rule that raises is a mandatory finding.

    It adds to ``seen`` what the stack policies look at.
    """
    name = policy_name(group, level.value)
    own = [rule for rule in rules if rule.level == level.value] or rules

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        seen.see(args)
        if not concerns(args.resource_type, group, seen.catalogue):
            return
        try:
            settings = seen.settings(base, args.get_config())
            findings = seen.counted(evaluate(resource_of(args), settings, rules=rules), lambda _: args.name)
        except Exception as error:
            if level is EnforcementLevel.MANDATORY:
                report(_not_judged(group, args.name, error), None)
            return
        for finding in findings:
            if finding.level == level.value:
                report(message_of(args.name, finding), None)

    schema = pack_settings.SCHEMA.get(name)
    return ResourceValidationPolicy(
        name,
        _PROMISES.get(group, _OWN_PROMISE),
        validate,
        enforcement_level=level,
        config_schema=PolicyConfigSchema(dict(schema)) if schema else None,
        display_name=f"Edge sites: {group}, {level.value}",
        framework=_FRAMEWORKS.get((group, level)),
        **_described(group, own),
    )


def _stack_policy(group: str, rules: Sequence[StackRule], base: Settings, seen: _Stack) -> StackValidationPolicy:
    """The policy of a group's stack rules.

    CrossGuard gives a stack policy the outputs of all resources. In a preview they are empty where a provider cannot
    be configured yet, as before a site's cluster exists. So each resource is judged by its ``inputs``, which the other
    policies have seen, and by its outputs only where it has none there.
    """
    level = EnforcementLevel.MANDATORY

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        try:
            settings = seen.settings(base, args.get_config())
            looked_at = [
                resource for resource in args.resources if matters_to_stack(resource.resource_type, seen.catalogue)
            ]
            resources = [
                _with_outputs(seen.inputs.get(resource.urn) or resource_of(resource), resource)
                for resource in looked_at
            ]
            names = {resource.urn: resource.name for resource in resources}
            findings = seen.counted(
                evaluate_together(resources, settings, rules=rules, catalogue=seen.catalogue),
                lambda one: names.get(one.urn, "the stack"),
            )
        except Exception as error:
            report(_not_judged(group, "the stack", error), None)
            return
        for finding in findings:
            report(message_of(names.get(finding.urn, "the stack"), finding), finding.urn or None)

    return StackValidationPolicy(
        policy_name(group, level.value, stack=True),
        _PROMISES.get(group, _OWN_PROMISE),
        validate,
        enforcement_level=level,
        display_name=f"Edge sites: {group}, whole stack",
        framework=_FRAMEWORKS.get((group, level)),
        **_described(group, rules),
    )


def _waived_policy(seen: _Stack) -> StackValidationPolicy:
    """Shows what the other policies have found and a waiver covers, and which charts were judged by their record.

    It comes last, and stops nothing.
    """

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        present = {resource.urn for resource in args.resources}
        for finding, message in seen.waived.items():
            if not finding.urn or finding.urn in present:
                report(message, finding.urn or None)
        for urn, said in seen.charts.items():
            if said and urn in present:
                report(said, urn)

    level = EnforcementLevel.ADVISORY
    return StackValidationPolicy(
        WAIVED,
        "What waivers of a site and its company allow is shown, and which charts were judged by their record.",
        validate,
        enforcement_level=level,
        display_name="Edge sites: waived",
        framework=_top_ten("K04"),
        severity=Severity.LOW,
        tags=[NAME, "waivers"],
        remediation_steps="Remove the cause, then the waiver from its file, before it expires.",
        url=RULES[0].url,
    )


def _described(group: str, rules: Sequence[Entry]) -> dict[str, Any]:
    """What a policy says of its rules."""
    return {
        "severity": Severity(max((rule.severity for rule in rules), key=_SEVERITIES.index)),
        "tags": [NAME, group],
        "remediation_steps": "\n".join(f"- {rule.id}: {rule.remedy}" for rule in rules),
        "url": rules[0].url,
    }


def _not_judged(group: str, name: str, error: Exception) -> str:
    """Why ``name`` is refused. The error's text may quote a value; its type cannot."""
    return (
        f"{group}: {name} could not be judged ({type(error).__name__}), so it counts as refused. "
        f"Check the pack's configuration; if it is right, report this as a bug in the policy pack."
    )


def message_of(name: str, finding: Finding) -> str:
    """A finding for people: rule, resource, property, what is wrong, what to do. Never a value."""
    where = f"{name}: {finding.path}" if finding.path else f"{name}:"
    if finding.waiver:
        return f"{finding.rule}: {where} {finding.message}. Waived {finding.waiver}"
    return f"{finding.rule}: {where} {finding.message}. {finding.remedy}"


def resource_of(args: ResourceValidationArgs | PolicyResource) -> Resource:
    """The resource as plain values. Raises TypeError for a value of a kind that CrossGuard does not document."""
    return Resource(
        type=args.resource_type,
        name=args.name,
        urn=args.urn,
        props=_object(args.props),
        parent=args.opts.parent or "",
        provider=args.provider.urn if args.provider else "",
        additional_secret_outputs=tuple(args.opts.additional_secret_outputs),
    )


def _with_outputs(seen: Resource, found: PolicyResource) -> Resource:
    """What the program's own components have registered in the end. Of other resources no rule reads outputs."""
    return replace(seen, outputs=_object(found.props)) if seen.type.startswith("edge:") else seen


def _object(proxy: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _at(proxy, key) for key in proxy}


def _at(proxy: Any, key: Any) -> Any:
    try:
        value = proxy[key]
    except UnknownValueError:
        return UNKNOWN
    return _plain(value)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, Sequence):
        return [_at(value, index) for index in range(len(value))]
    if isinstance(value, pulumi.StringAsset):
        return {"text": value.text}
    if isinstance(value, pulumi.FileAsset | pulumi.FileArchive):
        return {"path": str(value.path)}
    if isinstance(value, pulumi.RemoteAsset | pulumi.RemoteArchive):
        return {"uri": value.uri}
    if isinstance(value, pulumi.AssetArchive):
        return {"assets": {key: _plain(asset) for key, asset in value.assets.items()}}
    raise TypeError(f"a {type(value).__name__} among the properties")
