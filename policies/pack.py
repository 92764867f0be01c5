"""The policy pack: the same rules, as Pulumi's CrossGuard runs them in ``preview`` and ``up``.

Turns CrossGuard's proxies into plain values with ``UNKNOWN`` in them before any rule sees them, since touching an
unknown there would end the policy as a mere advice. Few policies, one for each group and level: Pulumi deserialises
every resource anew for each. Judges nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyComplianceFramework,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
)
from pulumi_policy.proxy import UnknownValueError

from policies import settings as pack_settings
from policies.rules import GROUPS, RULES, UNKNOWN, Finding, Resource, Rule, Settings, evaluate
from policies.rules.catalogue import concerns

NAME = "edge"
_SEVERITIES = ("low", "medium", "high", "critical")
_OWASP = "https://owasp.org/www-project-kubernetes-top-ten/"
_PROMISES: Mapping[str, str] = {
    "workload": "A workload does what it is for, and nothing to its host.",
    "network": "A site opens nothing to the world, and trusts no wire.",
    "supply-chain": "What runs at a site is known to the byte.",
    "secrets": "No secret is kept or shown in plain text.",
}
"""What each group holds; Pulumi puts it before each message."""

_FRAMEWORKS: Mapping[str, PolicyComplianceFramework] = {
    "workload": PolicyComplianceFramework(
        "Kubernetes Pod Security Standards",
        "1.35",
        "restricted",
        "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
    ),
    "network": PolicyComplianceFramework("OWASP Kubernetes Top Ten", "2022", "K07", _OWASP),
    "supply-chain": PolicyComplianceFramework("OWASP Kubernetes Top Ten", "2022", "K02", _OWASP),
    "secrets": PolicyComplianceFramework("OWASP Kubernetes Top Ten", "2022", "K08", _OWASP),
}


def pack() -> None:
    """Serve the pack to the engine; returns when the engine ends it."""
    PolicyPack(
        NAME,
        policies(),
        enforcement_level=EnforcementLevel.MANDATORY,
        description="What an edge site may not do.",
        display_name="Edge sites",
        tags=["edge", "kubernetes"],
    )


def policies(base: Settings | None = None) -> list[Policy]:
    """The pack's policies; ``base`` are the settings below Pulumi's own configuration, from the file by default."""
    base = pack_settings.load() if base is None else base
    found: list[Policy] = []
    for group in GROUPS:
        rules = tuple(rule for rule in RULES if rule.group == group)
        found.append(_policy(group, EnforcementLevel.MANDATORY, rules, base))
        if any(rule.level == "advisory" or rule.unknown == "warns" for rule in rules):
            found.append(_policy(group, EnforcementLevel.ADVISORY, rules, base))
    return found


def _policy(group: str, level: EnforcementLevel, rules: Sequence[Rule], base: Settings) -> ResourceValidationPolicy:
    """One policy. It runs all rules of its group: an advisory rule that breaks is a mandatory finding."""
    name = f"{NAME}-{group}-{level.value}"
    own = [rule for rule in rules if rule.level == level.value] or rules

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if not concerns(args.resource_type, group):
            return
        try:
            settings = pack_settings.apply(base, args.get_config())
            findings = evaluate(resource_of(args), settings, rules=rules)
        except Exception as error:
            if level is EnforcementLevel.MANDATORY:
                # The error's text may quote a value; its type cannot.
                report(
                    f"{group}: {args.name} could not be judged ({type(error).__name__}), so it counts as refused. "
                    f"Check the pack's configuration; otherwise report this as a fault of the policy pack.",
                    None,
                )
            return
        for finding in findings:
            if finding.level == level.value:
                report(message_of(args.name, finding), None)

    schema = pack_settings.SCHEMA.get(name)
    return ResourceValidationPolicy(
        name,
        _PROMISES[group],
        validate,
        enforcement_level=level,
        config_schema=PolicyConfigSchema(dict(schema)) if schema else None,
        display_name=f"Edge sites: {group}, {level.value}",
        severity=Severity(max((rule.severity for rule in own), key=_SEVERITIES.index)),
        framework=_FRAMEWORKS[group],
        tags=[NAME, group],
        remediation_steps="\n".join(f"- {rule.id}: {rule.remedy}" for rule in own),
        url=own[0].url,
    )


def message_of(name: str, finding: Finding) -> str:
    """A finding for people: rule, resource, property, what is wrong, what to do. Never a value."""
    where = f"{name}: {finding.path}" if finding.path else f"{name}:"
    return f"{finding.rule}: {where} {finding.message}. {finding.remedy}"


def resource_of(args: ResourceValidationArgs) -> Resource:
    """The resource as plain values. Raises TypeError for a value of a kind that CrossGuard does not document."""
    return Resource(
        type=args.resource_type,
        name=args.name,
        urn=args.urn,
        props=_object(args.props),
        parent=args.opts.parent or "",
        additional_secret_outputs=tuple(args.opts.additional_secret_outputs),
    )


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
