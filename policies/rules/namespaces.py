"""Namespaces: the network isolation of each namespace that the stack creates. Judged over the whole stack.

Does not judge namespaces that the stack does not create (`kube-system`, those of a Helm chart), nor which traffic the
policies of single workloads allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from policies.rules.addresses import world
from policies.rules.frameworks import NETWORK_CHAPTER, cis_kubernetes, top_ten
from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Violation
from policies.rules.rule import StackRule, attempt, hidden
from policies.rules.subject import Subject
from policies.rules.tree import Node

_DIRECTIONS: Mapping[str, str] = {"Ingress": "from", "Egress": "to"}
"""Policy types, and where a rule of each keeps its peers."""

_MOST_PORTS = 30_000
"""A range of more ports than this leaves no port closed that matters."""

_Key = tuple[str, str]
"""A namespace: its cluster's provider, and its name."""


def _default_deny(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, Violation]]:
    namespaces: dict[_Key, Subject] = {}
    for subject in subjects:
        if subject.kind.name == "Namespace":
            try:
                name = subject.get("metadata", "name")
                if not name.text():
                    raise HiddenError(name.path, "is not set, so no NetworkPolicy can be matched with the namespace")
                namespaces[subject.resource.provider, name.text() or ""] = subject
            except HiddenError as error:
                yield subject, hidden(error)
    denied: dict[_Key, set[str]] = {key: set() for key in namespaces}
    unplaced: HiddenError | None = None
    for subject in subjects:
        if subject.kind.name != "NetworkPolicy":
            continue
        if subject.kind.patch:
            for violation in attempt(_reopened(subject.get("spec"))):
                yield subject, violation
            continue
        try:
            own = denied.get((subject.resource.provider, subject.get("metadata", "namespace").text() or "default"))
        except HiddenError as error:
            unplaced = error
            continue
        try:
            for violation in _apply(own, subject.get("spec")) if own is not None else ():
                yield subject, violation
        except HiddenError as error:
            yield subject, hidden(error)
    for key, subject in namespaces.items():
        path = subject.get("metadata", "name").path
        missing = " and ".join(direction.lower() for direction in _DIRECTIONS if direction not in denied[key])
        if missing and unplaced is not None:
            reason = f"{unplaced.path} of a NetworkPolicy that may be its own {unplaced.reason}"
            yield subject, Violation(path, f"cannot be judged: {reason}", hidden=True)
        elif missing:
            yield subject, Violation(path, f"has no NetworkPolicy that denies {missing} by default")


def _apply(denied: set[str], spec: Node) -> Iterator[Violation]:
    """Adds to ``denied`` the directions that a policy denies for every pod of its namespace.

    A rule that allows everything again is a violation.
    """
    selector = spec.get("podSelector")
    labels, expressions = list(selector.get("matchLabels").entries()), list(selector.get("matchExpressions").each())
    if labels or expressions:
        return
    types = [entry.text() for entry in spec.get("policyTypes").each()]
    if not types:
        # The API server's default.
        types = ["Ingress", *(["Egress"] if list(spec.get("egress").each()) else [])]
    for direction, peers in _DIRECTIONS.items():
        if direction not in types:
            continue
        for rule in spec.get(direction.lower()).each():
            if _allows_everything(rule, peers):
                yield Violation(rule.path, f"allows all {direction.lower()} of every pod in the namespace")
        denied.add(direction)


def _reopened(spec: Node) -> Iterator[Violation]:
    """What a patch allows again. It does not say which pods the policy is for, so it may be for all of them."""
    selector = spec.get("podSelector")
    labels, expressions = list(selector.get("matchLabels").entries()), list(selector.get("matchExpressions").each())
    if labels or expressions:
        return
    for direction, peers in _DIRECTIONS.items():
        for rule in spec.get(direction.lower()).each():
            if _allows_everything(rule, peers):
                yield Violation(
                    rule.path, f"allows all {direction.lower()}, in a patch that may be of every pod's policy"
                )


def _allows_everything(rule: Node, peers: str) -> bool:
    ports = list(rule.get("ports").each())
    if ports and not any(map(_is_every_port, ports)):
        return False
    others = list(rule.get(peers).each())
    blocks = [other.get("ipBlock", "cidr") for other in others if not list(other.get("ipBlock", "except").each())]
    return not others or any(map(_is_everyone, others)) or any(True for _ in world(blocks))


def _is_every_port(port: Node) -> bool:
    """A protocol without a port, or a range of nearly all ports."""
    first, last = port.get("port"), port.get("endPort").number()
    if not first.present:
        return True
    return last is not None and isinstance(first.value, int | float) and last - first.value >= _MOST_PORTS


def _is_everyone(peer: Node) -> bool:
    """Whether a peer is every pod of every namespace."""
    namespaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    return namespaces.present and not any(
        list(one.get("matchLabels").entries()) or list(one.get("matchExpressions").each()) for one in (namespaces, pods)
    )


def _matters(kind: Kind) -> bool:
    """A patch of a namespace creates none; one of a policy denies nothing, but may allow everything again."""
    return kind.is_a("networking.k8s.io", "NetworkPolicy") or (not kind.patch and kind.is_a("core", "Namespace"))


STACK_RULES = (
    StackRule(
        id="network/namespace-default-deny",
        level="mandatory",
        severity="high",
        title="Every namespace of the stack denies all traffic that no NetworkPolicy allows.",
        why="Without such a policy every pod may connect to every other pod of the cluster and to the site's network.",
        remedy="Create a NetworkPolicy with `podSelector: {}`, `policyTypes: [Ingress, Egress]` and no rules in the "
        "namespace, and allow what is needed in a second one; write `metadata.name` and `metadata.namespace` out.",
        url="https://kubernetes.io/docs/concepts/services-networking/network-policies/"
        "#default-deny-all-ingress-and-all-egress-traffic",
        applies=_matters,
        check=_default_deny,
        about="Namespace, with NetworkPolicy (whole stack)",
        references=(*cis_kubernetes("5.3.2"), *top_ten("K07"), *NETWORK_CHAPTER),
    ),
)
