"""The policy pack: the same rules, as Pulumi's CrossGuard runs them in ``preview`` and ``up``.

Turns CrossGuard's proxies into plain values with ``UNKNOWN`` in them before any rule sees them: when a policy touches
an unknown value, CrossGuard stops it and reports only an advisory. There is one policy for each level, and no more:
Pulumi converts every resource again for each policy (``docs/decisions/0016``). Judges nothing itself.
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
    Settings,
    Waiver,
    evaluate,
    evaluate_together,
    kubernetes_version,
)
from policies.rules.catalogue import concerns, matters_to_stack
from policies.rules.charts import is_chart
from policies.rules.kinds import kind_of
from policies.rules.waivers import apply, publishes, waivers_of
from sitefile.problems import FileError

NAME = "edge"
WAIVED = pack_settings.WAIVED
FOLDER = Path(__file__).parent
"""The program's own pack."""
_SEVERITIES = ("low", "medium", "high", "critical")
_OWASP = "https://owasp.org/www-project-kubernetes-top-ten/"
_PROMISE = "An edge site is closed to strangers, pinned, encrypted, and outlives an outage."
"""What the rules guarantee; Pulumi shows it before each message."""


def _top_ten(risks: str) -> PolicyComplianceFramework:
    # Each rule names its own sections, of this framework and of others, in docs/policies.md.
    return PolicyComplianceFramework("OWASP Kubernetes Top Ten", "2022", risks, _OWASP)


def pack(folder: Path = FOLDER) -> None:
    """Serve the pack to the engine; returns when the engine stops it.

    ``folder`` is the pack's own, with its settings and a company's own rules. What is wrong there ends the process, and
    with it the run.
    """
    try:
        catalogue = own.catalogue_of(folder)
        settings = pack_settings.load(folder / CONFIG_FILE)
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
    config: Mapping[str, Any] = field(default_factory=dict)
    """Pulumi's own configuration, as the mandatory policy has it."""
    advice: tuple[str, list[Finding]] | None = None
    """URN and findings of the resource that the mandatory policy has judged last. The advisory one is asked next."""

    def judge(self, args: ResourceValidationArgs) -> list[Finding]:
        """What is wrong with a resource, by all rules: an advisory rule that raises is a mandatory finding.

        Keeps what the stack policies look at. Raises what CrossGuard's values and configuration can raise.
        """
        self.advice = None
        token = args.resource_type
        if not (concerns(token, self.catalogue) or matters_to_stack(token, self.catalogue) or publishes(token)):
            return []
        resource = resource_of(args)
        self._see(resource)
        findings = self.counted(evaluate(resource, self.settings(), catalogue=self.catalogue), lambda _: args.name)
        self.advice = (args.urn, findings)
        return findings

    def advised(self, args: ResourceValidationArgs) -> list[Finding]:
        """As ``judge``, without judging again what the mandatory policy has just judged."""
        kept, self.advice = self.advice, None
        return kept[1] if kept and kept[0] == args.urn else self.judge(args)

    def _see(self, resource: Resource) -> None:
        if matters_to_stack(resource.type, self.catalogue):
            self.inputs[resource.urn] = resource
        if kubernetes_version.runs(resource.type):
            found = kubernetes_version.minor_of(resource)
            self.kubernetes |= {} if found is None else {resource.urn: found}
        if is_chart(kind_of(resource.type)) and resource.urn not in self.charts:
            self.charts[resource.urn] = "; ".join(used_records([resource], self.base))
        if publishes(resource.type):
            self.waivers[resource.urn] = waivers_of(resource)

    def settings(self) -> Settings:
        """Those of the pack with what Pulumi's own configuration changes, for the cluster of the stack."""
        return kubernetes_version.in_stack(pack_settings.apply(self.base, self.config), self.kubernetes.values())

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
    return [_mandatory(seen), _advisory(seen), _together(seen), _waived_policy(seen)]


def _mandatory(seen: _Stack) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        seen.config = args.get_config()
        try:
            findings = seen.judge(args)
        except Exception as error:
            report(_not_judged(args.name, error), None)
            return
        for finding in findings:
            if finding.level == "mandatory":
                report(message_of(args.name, finding), None)

    return ResourceValidationPolicy(
        pack_settings.MANDATORY,
        _PROMISE,
        validate,
        enforcement_level=EnforcementLevel.MANDATORY,
        config_schema=PolicyConfigSchema(dict(pack_settings.SCHEMA)),
        display_name="Edge sites: each resource, mandatory",
        framework=_top_ten("K01 to K10"),
        **_described([rule for rule in seen.catalogue.rules if rule.level == "mandatory"]),
    )


def _advisory(seen: _Stack) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        # What cannot be judged is refused by the mandatory policy.
        with contextlib.suppress(Exception):
            for finding in seen.advised(args):
                if finding.level == "advisory":
                    report(message_of(args.name, finding), None)

    return ResourceValidationPolicy(
        pack_settings.ADVISORY,
        _PROMISE,
        validate,
        enforcement_level=EnforcementLevel.ADVISORY,
        display_name="Edge sites: each resource, advisory",
        framework=_top_ten("K01 to K10"),
        **_described([rule for rule in seen.catalogue.rules if rule.level == "advisory" or rule.unknown == "warns"]),
    )


def _together(seen: _Stack) -> StackValidationPolicy:
    """The policy of the stack rules.

    CrossGuard gives a stack policy the outputs of all resources. In a preview they are empty where a provider cannot
    be configured yet, as before a site's cluster exists. So each resource is judged by its ``inputs``, which the other
    policies have seen, and by its outputs only where it has none there.
    """

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        try:
            resources = [
                _with_outputs(seen.inputs.get(resource.urn) or resource_of(resource), resource)
                for resource in args.resources
                if matters_to_stack(resource.resource_type, seen.catalogue)
            ]
            names = {resource.urn: resource.name for resource in resources}
            findings = seen.counted(
                evaluate_together(resources, seen.settings(), catalogue=seen.catalogue),
                lambda one: names.get(one.urn, "the stack"),
            )
        except Exception as error:
            report(_not_judged("the stack", error), None)
            return
        for finding in findings:
            report(message_of(names.get(finding.urn, "the stack"), finding), finding.urn or None)

    return StackValidationPolicy(
        pack_settings.TOGETHER,
        _PROMISE,
        validate,
        enforcement_level=EnforcementLevel.MANDATORY,
        display_name="Edge sites: whole stack",
        framework=_top_ten("K01 to K10"),
        **_described(seen.catalogue.stack_rules),
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


def _described(rules: Sequence[Entry]) -> dict[str, Any]:
    """What a policy says of its rules."""
    return {
        "severity": Severity(max((rule.severity for rule in rules), key=_SEVERITIES.index)),
        "tags": [NAME, *dict.fromkeys(rule.group for rule in rules)],
        "remediation_steps": "\n".join(f"- {rule.id}: {rule.remedy}" for rule in rules),
        "url": rules[0].url,
    }


def _not_judged(name: str, error: Exception) -> str:
    """Why ``name`` is refused. The error's text may quote a value; its type cannot."""
    return (
        f"{name} could not be judged ({type(error).__name__}), so it counts as refused. "
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


_OUTPUTS_OF = ("edge:", "aws:ec2/managedPrefixList:")


def _with_outputs(seen: Resource, found: PolicyResource) -> Resource:
    """What the program's own components have registered in the end, and ids of prefix lists. No rule reads others."""
    return replace(seen, outputs=_object(found.props)) if seen.type.startswith(_OUTPUTS_OF) else seen


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
