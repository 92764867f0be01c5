"""AWS: prefix lists that a firewall rule admits. What they hold is judged in them (``aws/no-open-ingress``), so they
have to be in the stack.

Does not judge outgoing rules: the lists that they name are mostly AWS's own, such as those of S3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.rules.frameworks import cis_aws
from policies.rules.iam import service_of
from policies.rules.kinds import Kind
from policies.rules.model import UNKNOWN, HiddenError, Violation
from policies.rules.rule import StackRule, hidden
from policies.rules.subject import Subject
from policies.rules.tree import Node

_LIST = ("ec2", "ManagedPrefixList")
_GROUPS = frozenset((("ec2", "SecurityGroup"), ("ec2", "DefaultSecurityGroup")))
_ONE = frozenset((("vpc", "SecurityGroupIngressRule"), ("ec2", "SecurityGroupIngressRule")))
_EITHER = ("ec2", "SecurityGroupRule")


def _made_here(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, Violation]]:
    lists = [subject for subject in subjects if _key(subject.kind) == _LIST]
    ids = {subject.resource.outputs.get("id") for subject in lists}
    for subject in subjects:
        if _key(subject.kind) == _LIST:
            continue
        try:
            for named in _named(subject):
                # What only exists after deployment is made in this stack, or by nobody whom this preview knows.
                if named.text() not in ids if named.value is not UNKNOWN else not lists:
                    why = "is no prefix list of this stack, so nothing here says which networks it admits"
                    yield subject, Violation(named.path, f"cannot be judged: it {why}", hidden=True)
        except HiddenError as error:
            yield subject, hidden(error)


def _named(subject: Subject) -> Iterator[Node]:
    """Each id of a prefix list that a rule for incoming traffic names. Raises ``HiddenError``."""
    key = _key(subject.kind)
    if key in _ONE:
        rules = [subject.root]
    elif key == _EITHER:
        rules = [] if subject.get("type").text() == "egress" else [subject.root]
    else:
        rules = list(subject.get("ingress").each())
    for rule in rules:
        if rule.get("prefixListId").present:
            yield rule.get("prefixListId")
        yield from rule.get("prefixListIds").each()


def _key(kind: Kind) -> tuple[str, str]:
    return service_of(kind), kind.name


def _applies(kind: Kind) -> bool:
    return kind.provider == "aws" and (_key(kind) in (_LIST, _EITHER) or _key(kind) in _GROUPS | _ONE)


STACK_RULES = (
    StackRule(
        id="aws/prefix-list-seen",
        level="mandatory",
        severity="high",
        title="Every prefix list that a firewall rule admits is made in the stack, where it is judged.",
        why="The id of a list says nothing of its networks: it may hold the Internet, now or after a change elsewhere.",
        remedy="Make the ManagedPrefixList in the same stack, or list the networks themselves. A list that another "
        "team keeps needs a waiver.",
        url="https://docs.aws.amazon.com/vpc/latest/userguide/managed-prefix-lists.html",
        applies=_applies,
        check=_made_here,
        about="security groups and their rules, with managed prefix lists (whole stack)",
        references=cis_aws("5.2", "5.3"),
    ),
)
