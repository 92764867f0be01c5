"""AWS accounts: where things are made, by which provider, and whom they belong to.

Does not judge what a resource is; that is ``aws``', ``buckets``' and ``iam``'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from policies.rules.frameworks import nist
from policies.rules.iam import service_of
from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Violation
from policies.rules.rule import Rule, StackRule, attempt
from policies.rules.subject import Subject

_FOREIGN = frozenset(("aws-native", "awsx"))
"""Providers of AWS resources whose properties these rules do not know."""

_TAGGED: frozenset[tuple[str, str]] = frozenset(
    (
        ("alb", "LoadBalancer"),
        ("lb", "LoadBalancer"),
        ("ec2", "Instance"),
        ("ec2", "LaunchTemplate"),
        ("ec2", "SpotInstanceRequest"),
        ("ebs", "Volume"),
        ("ec2", "Eip"),
        ("ec2", "SecurityGroup"),
        ("ec2", "Subnet"),
        ("ec2", "Vpc"),
        ("ec2", "RouteTable"),
        ("eks", "Cluster"),
        ("eks", "NodeGroup"),
        ("efs", "FileSystem"),
        ("iam", "Policy"),
        ("iam", "Role"),
        ("iam", "User"),
        ("rds", "Instance"),
        ("rds", "Cluster"),
        ("s3", "Bucket"),
        ("s3", "BucketV2"),
        ("sqs", "Queue"),
        ("sns", "Topic"),
    )
)
"""Kinds that cost money, hold data or grant something, and that can be tagged."""


def _regions(subject: Subject) -> Iterator[Violation]:
    allowed = subject.settings.aws_regions
    if not allowed:
        return
    region = subject.get("region")
    name = region.text()
    if name is None:
        if subject.kind.provider == "pulumi":
            yield Violation(region.path, "is not set, so the environment decides")
    elif name not in allowed:
        yield Violation(region.path, "is not one of the allowed regions")


def _judged_provider(_: Subject) -> Iterator[Violation]:
    yield Violation("type", "is of a provider whose properties no rule knows, so nobody has judged it")


def _tags(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, Violation]]:
    """Tags that a resource has itself, or that its provider gives to everything."""
    given = {subject.resource.urn: subject for subject in subjects if subject.kind.provider == "pulumi"}
    for subject in subjects:
        if subject.kind.provider == "pulumi":
            continue
        provider = given.get(subject.resource.provider)
        for found in attempt(_missing(subject, provider)):
            yield subject, found


def _missing(subject: Subject, provider: Subject | None) -> Iterator[Violation]:
    own = {name for name, _ in subject.get("tags").entries()}
    for name in subject.settings.required_tags:
        if name not in own and name not in (_default_tags(provider) if provider else ()):
            yield Violation(
                subject.get("tags", name).path, "is not set, neither here nor in the provider's defaultTags"
            )


def _default_tags(provider: Subject) -> tuple[str, ...]:
    """A provider's properties are JSON texts where they are no strings."""
    node = provider.get("defaultTags")
    if isinstance(node.value, str):
        try:
            node = node.holding(json.loads(node.value))
        except ValueError:
            raise HiddenError(node.path, "is not JSON") from None
    return tuple(name for name, _ in node.get("tags").entries())


def _key(kind: Kind) -> tuple[str, str]:
    return service_of(kind), kind.name


def _is_provider(kind: Kind) -> bool:
    return kind.provider == "pulumi" and kind.group == "providers" and kind.name == "aws"


def _has_region(kind: Kind) -> bool:
    return kind.provider == "aws" or _is_provider(kind)


def _is_foreign(kind: Kind) -> bool:
    return kind.provider in _FOREIGN


def _is_tagged(kind: Kind) -> bool:
    return (kind.provider == "aws" and _key(kind) in _TAGGED) or _is_provider(kind)


RULES = (
    Rule(
        id="aws/allowed-regions",
        level="mandatory",
        severity="medium",
        title="Everything is in a region that the company allows.",
        why="Data may have to stay in a country, and nobody looks at a region that nobody uses.",
        remedy="In a site file, set `place.region` to an allowed region, or add the region to `aws_regions` in the "
        "pack's configuration. Without that setting, every region is allowed.",
        url="https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_examples_general.html",
        applies=_has_region,
        check=_regions,
        about="every AWS resource and provider",
        references=nist("SA-9(5)"),
    ),
    Rule(
        id="aws/judged-provider",
        level="mandatory",
        severity="medium",
        title="AWS resources are made with the provider that the rules know.",
        why="The same resource of aws-native or awsx has other properties, and would pass all rules above unseen.",
        remedy="Use `pulumi_aws`, or judge the resource in `policies/own_rules.py` and add a waiver.",
        url="https://www.pulumi.com/registry/packages/aws/",
        applies=_is_foreign,
        check=_judged_provider,
        about="aws-native, awsx",
        references=nist("CM-6(1)"),
    ),
)

STACK_RULES = (
    StackRule(
        id="aws/tags",
        level="mandatory",
        severity="low",
        title="Every resource says which site it belongs to.",
        why="Nobody dares to delete, or knows whom to bill for, a resource without an owner.",
        remedy="Set the tag, best in the provider's `defaultTags`. `required_tags` in the pack's configuration says "
        "which tags are asked for.",
        url="https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html",
        applies=_is_tagged,
        check=_tags,
        about="AWS resources that cost money, hold data or grant rights (whole stack)",
        references=nist("CM-8"),
    ),
)
