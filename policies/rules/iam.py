"""AWS permissions: policy documents, wherever one stands, and what is attached by name.

Does not judge documents that exist already, such as those of an instance profile that is only named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from policies.rules.frameworks import cis_aws
from policies.rules.kinds import Kind
from policies.rules.model import Violation
from policies.rules.rule import Rule, attempt
from policies.rules.subject import Subject
from policies.rules.tree import Node

_DOCUMENTS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("iam", "Policy"): ("policy",),
    ("iam", "RolePolicy"): ("policy",),
    ("iam", "UserPolicy"): ("policy",),
    ("iam", "GroupPolicy"): ("policy",),
    ("iam", "Role"): ("assumeRolePolicy",),
    ("s3", "Bucket"): ("policy",),
    ("s3", "BucketV2"): ("policy",),
    ("s3", "BucketPolicy"): ("policy",),
    ("s3", "AccessPoint"): ("policy",),
    ("s3control", "AccessPointPolicy"): ("policy",),
    ("sqs", "Queue"): ("policy",),
    ("sqs", "QueuePolicy"): ("policy",),
    ("sns", "Topic"): ("policy",),
    ("sns", "TopicPolicy"): ("policy",),
    ("kms", "Key"): ("policy",),
    ("kms", "KeyPolicy"): ("policy",),
    ("ecr", "RepositoryPolicy"): ("policy",),
    ("ecr", "RegistryPolicy"): ("policy",),
    ("efs", "FileSystemPolicy"): ("policy",),
    ("secretsmanager", "Secret"): ("policy",),
    ("secretsmanager", "SecretPolicy"): ("policy",),
    ("ec2", "VpcEndpoint"): ("policy",),
    ("ec2", "VpcEndpointPolicy"): ("policy",),
    ("ssoadmin", "PermissionSetInlinePolicy"): ("inlinePolicy",),
    ("backup", "VaultPolicy"): ("policy",),
    ("cloudwatch", "LogResourcePolicy"): ("policyDocument",),
}
"""Where each kind keeps policy documents."""

_ATTACHED: Mapping[tuple[str, str], str] = {
    ("iam", "RolePolicyAttachment"): "policyArn",
    ("iam", "UserPolicyAttachment"): "policyArn",
    ("iam", "GroupPolicyAttachment"): "policyArn",
    ("iam", "PolicyAttachment"): "policyArn",
    ("iam", "RolePolicyAttachmentsExclusive"): "policyArns",
    ("iam", "Role"): "managedPolicyArns",
    ("ssoadmin", "ManagedPolicyAttachment"): "managedPolicyArn",
}
"""Where each kind names policies of others."""

_ITSELF = frozenset(("kms", "ecr", "efs", "secretsmanager", "backup"))
"""Services whose resource policies say `*` for the resource that they are attached to."""

_READS = ("describe", "list", "get", "batchget", "head")
_READS_OF_DATA = (
    "secretsmanager:get",
    "secretsmanager:batchget",
    "ssm:get",
    "s3:get",
    "dynamodb:batchget",
    "dynamodb:get",
    "sts:get",
    "kms:get",
)
_KEEPS_STRANGERS_OUT = (
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourcevpc",
    "aws:sourcevpce",
)
_LIMITS = ("stringequals", "stringlike", "arnequals", "arnlike", "foranyvalue:stringequals", "foranyvalue:stringlike")
"""Operators with which those conditions limit anything; one that ends in IfExists passes where the key is absent."""


def service_of(kind: Kind) -> str:
    """The service in a type token of the AWS provider: ``aws:ec2/instance:Instance`` is of ``ec2``."""
    return kind.group.partition("/")[0]


def _iam_no_wildcard(subject: Subject) -> Iterator[Violation]:
    key = service_of(subject.kind), subject.kind.name
    for name in _DOCUMENTS.get(key, ()):
        yield from attempt(_document(subject.get(name), key[0]))
    if key == ("iam", "Role"):
        for inline in subject.get("inlinePolicies").each():
            yield from attempt(_document(inline.get("policy"), "iam"))
    if key in _ATTACHED:
        yield from attempt(_attached(subject.get(_ATTACHED[key])))
    if key == ("lambda", "Permission"):
        yield from attempt(_lambda_permission(subject))


def _attached(arns: Node) -> Iterator[Violation]:
    for arn in arns.each() if isinstance(arns.value, list) else (arns,):
        text = arn.text() or ""
        name = text.rpartition("/")[2]
        if ":aws:policy/" in text and (
            name.endswith("FullAccess") or name in ("AdministratorAccess", "PowerUserAccess")
        ):
            yield Violation(arn.path, "is a policy of AWS that allows everything, or everything of a service")


def _lambda_permission(subject: Subject) -> Iterator[Violation]:
    principal = subject.get("principal")
    limits = ("principalOrgId", "sourceAccount", "sourceArn")
    if principal.text() == "*" and not any(subject.get(name).text() for name in limits):
        yield Violation(principal.path, "is everyone")


def _document(place: Node, service: str) -> Iterator[Violation]:
    """What a policy document allows too widely; it stands there as JSON text or as an object."""
    if not place.present:
        return
    document = place
    if not isinstance(place.value, dict):
        try:
            document = place.holding(json.loads(place.text() or ""))
        except ValueError:
            yield Violation(place.path, "is not JSON, so nobody can tell what it allows")
            return
    statements = document.get("Statement")
    if not statements.present:
        yield Violation(place.path, "has no Statement, so nobody can tell what it allows")
        return
    for statement in _one_or_more(statements):
        yield from attempt(_statement(statement, service))


def _one_or_more(node: Node) -> Iterator[Node]:
    if isinstance(node.value, list):
        yield from node.each()
    elif node.present:
        yield node


def _statement(statement: Node, service: str) -> Iterator[Violation]:
    if statement.get("Effect").text() == "Deny":
        return
    for name in ("NotAction", "NotResource", "NotPrincipal"):
        if statement.get(name).present:
            yield Violation(statement.get(name).path, "allows everything but what it lists")
    own_key = service == "kms" and _is_account(statement.get("Principal"))
    actions = list(_one_or_more(statement.get("Action")))
    for action in actions:
        # The account itself may always manage its key: without it, AWS could not let anyone in again.
        if not own_key and _is_wild((action.text() or "").lower()):
            yield Violation(action.path, "is a wildcard over more than reading")
    if service not in _ITSELF and any(not _only_reads((action.text() or "").lower()) for action in actions):
        for resource in _one_or_more(statement.get("Resource")):
            if _is_everything(resource.text() or ""):
                yield Violation(resource.path, "is every resource, for an action that changes or reads data")
    if not _limited(statement.get("Condition")):
        yield from _principals(statement.get("Principal"))


def _is_wild(action: str) -> bool:
    service, _, name = action.partition(":")
    if "*" in service or "?" in service:
        return True
    return ("*" in name or "?" in name) and not _only_reads(action)


def _only_reads(action: str) -> bool:
    if action.startswith(_READS_OF_DATA):
        return False
    name = action.partition(":")[2]
    return name.startswith(_READS)


def _is_everything(resource: str) -> bool:
    """`*`, and an ARN with nothing but wildcards behind the service: `arn:aws:s3:::*`."""
    parts = resource.split(":", 5)
    return not resource.strip("*?") or (len(parts) == 6 and not parts[5].strip("*?/"))


def _is_account(principal: Node) -> bool:
    """Whether a principal is one account, by number."""
    names = [name.text() or "" for name in _one_or_more(principal.get("AWS"))] if _is_object(principal) else []
    return bool(names) and all(name.endswith(":root") and name.startswith("arn:aws") for name in names)


def _is_object(node: Node) -> bool:
    return isinstance(node.value, dict)


def _principals(principal: Node) -> Iterator[Violation]:
    places = [name for _, names in principal.entries() for name in _one_or_more(names)] if _is_object(principal) else []
    for place in places or _one_or_more(principal):
        text = place.text() or ""
        if "*" in text:
            yield Violation(place.path, "is everyone, without a condition that keeps strangers out")


def _limited(condition: Node) -> bool:
    """Whether a condition leaves only one's own accounts, organisation or network."""
    for operator, keys in condition.entries():
        if operator.lower() not in _LIMITS:
            continue
        for key, values in keys.entries():
            texts = [value.text() or "" for value in _one_or_more(values)]
            if key.lower() in _KEEPS_STRANGERS_OUT and texts and all(text.strip("*?:") for text in texts):
                return True
    return False


def _no_long_lived_key(subject: Subject) -> Iterator[Violation]:
    status = subject.get("status")
    if status.text() != "Inactive":
        yield Violation("user", "gets an access key that never expires")


def _has_permissions(kind: Kind) -> bool:
    if kind.provider != "aws":
        return False
    key = service_of(kind), kind.name
    return key in _DOCUMENTS or key in _ATTACHED or key == ("lambda", "Permission")


def _is_access_key(kind: Kind) -> bool:
    return kind.provider == "aws" and service_of(kind) == "iam" and kind.name == "AccessKey"


_BEST_PRACTICES = "https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html"

RULES = (
    Rule(
        id="aws/iam-no-wildcard",
        level="mandatory",
        severity="critical",
        title="No policy allows everything, or everyone.",
        why="A host of a site that is stolen brings its role with it: what the role may do, the thief may do.",
        remedy="List the actions and the ARNs; only reading (`Describe*`, `List*`, `Get*`) may have a wildcard. Name "
        "principals, or add a condition on your organisation or account.",
        url=f"{_BEST_PRACTICES}#grant-least-privilege",
        applies=_has_permissions,
        check=_iam_no_wildcard,
        about="IAM roles, policies and attachments; policies of buckets, queues, keys and other AWS resources",
        references=cis_aws("1.16"),
    ),
    Rule(
        id="aws/no-long-lived-key",
        level="mandatory",
        severity="high",
        title="No IAM user gets an access key.",
        why="It works from everywhere until somebody remembers to delete it.",
        remedy="Use a role: an instance profile, IAM Roles Anywhere, or OpenID Connect from a pipeline.",
        url=f"{_BEST_PRACTICES}#bp-workloads-use-roles",
        applies=_is_access_key,
        check=_no_long_lived_key,
        about="aws:iam/accessKey:AccessKey",
        references=cis_aws("1.14"),
    ),
)
