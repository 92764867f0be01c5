"""Cluster access: what roles grant, and to whom. Judges Role, ClusterRole and their bindings.

Does not judge who holds a client certificate, nor roles that a Helm chart or Flux creates.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.rules.frameworks import ACCESS_CHAPTER, cis_kubernetes, top_ten
from policies.rules.kinds import Kind
from policies.rules.model import Violation
from policies.rules.rule import Rule, attempt
from policies.rules.subject import Subject
from policies.rules.tree import Node

_RBAC = "rbac.authorization.k8s.io"
_GOOD_PRACTICES = "https://kubernetes.io/docs/concepts/security/rbac-good-practices/"

_HARMLESS_SYSTEM_ROLES = frozenset(
    (
        "system:auth-delegator",
        "system:basic-user",
        "system:discovery",
        "system:monitoring",
        "system:public-info-viewer",
        "system:service-account-issuer-discovery",
    )
)
"""Built-in roles of the control plane that let nobody change anything. `system:auth-delegator` only lets a server ask
the API server who a client is."""

_EVERYONE = frozenset(("system:anonymous", "system:unauthenticated", "system:authenticated", "system:serviceaccounts"))
_ESCALATING_VERBS = frozenset(("escalate", "bind", "impersonate"))
_ESCALATING: tuple[tuple[frozenset[str], frozenset[str], str], ...] = (
    (frozenset(("nodes/proxy",)), frozenset(), "reaches every container of a node through its kubelet"),
    (
        frozenset(("certificatesigningrequests/approval",)),
        frozenset(("update", "patch")),
        "approves client certificates of any user",
    ),
    (frozenset(("serviceaccounts/token",)), frozenset(("create",)), "makes tokens of any service account"),
    (
        frozenset(("mutatingwebhookconfigurations", "validatingwebhookconfigurations")),
        frozenset(("create", "update", "patch")),
        "sends every object of the cluster to a server of its choice",
    ),
    (
        frozenset(("persistentvolumes",)),
        frozenset(("create", "update", "patch")),
        "makes volumes of any folder of a host",
    ),
)
"""Resources, the verbs that matter (none: all), and what they allow."""


def _no_cluster_admin(subject: Subject) -> Iterator[Violation]:
    role = subject.get("roleRef", "name")
    name = role.text()
    if name == "cluster-admin":
        yield Violation(role.path, "is cluster-admin, which may do everything")
    elif name == "admin" and subject.kind.name == "ClusterRoleBinding":
        yield Violation(role.path, "is admin in every namespace, kube-system included")
    elif name is not None and name.startswith("system:") and name not in _HARMLESS_SYSTEM_ROLES:
        yield Violation(role.path, "is a role of the control plane itself")
    for holder in subject.get("subjects").each():
        if holder.peek("kind") in (None, "Group") and holder.get("name").text() == "system:masters":
            yield Violation(holder.get("name").path, "is system:masters, which no role can limit")


def _named_subjects(subject: Subject) -> Iterator[Violation]:
    for holder in subject.get("subjects").each():
        yield from attempt(_named_subject(holder))


def _named_subject(holder: Node) -> Iterator[Violation]:
    name = holder.get("name")
    text = name.text() or ""
    if text in _EVERYONE or text.startswith("system:serviceaccounts:"):
        yield Violation(name.path, "means everyone, or every service account of a namespace")
    elif (text == "default" and holder.get("kind").text() == "ServiceAccount") or _is_default(text):
        yield Violation(name.path, "is a default service account, which every pod without its own one gets")


def _is_default(user: str) -> bool:
    return user.startswith("system:serviceaccount:") and user.endswith(":default")


def _no_wildcard(subject: Subject) -> Iterator[Violation]:
    aggregation = subject.get("aggregationRule")
    if aggregation.present:
        yield Violation(aggregation.path, "collects the rules of other roles, which cannot be seen here")
    for rule in subject.get("rules").each():
        for name in ("verbs", "resources", "apiGroups", "nonResourceURLs"):
            yield from attempt(_stars(rule.get(name)))


def _stars(names: Node) -> Iterator[Violation]:
    for entry in names.each():
        text = entry.text() or ""
        if "*" in text and (text in ("*", "/*") or text.startswith("*/")):
            yield Violation(entry.path, "is a wildcard: it grants what nobody has thought of, now and after upgrades")


def _no_escalation(subject: Subject) -> Iterator[Violation]:
    for rule in subject.get("rules").each():
        yield from attempt(_escalating_verbs(rule.get("verbs")))
        yield from attempt(_escalating_resources(rule))


def _escalating_verbs(verbs: Node) -> Iterator[Violation]:
    for verb in verbs.each():
        if (verb.text() or "").lower() in _ESCALATING_VERBS:
            yield Violation(verb.path, "lets its holder take more rights than it was given")


def _escalating_resources(rule: Node) -> Iterator[Violation]:
    verbs = {verb.text() or "" for verb in rule.get("verbs").each()}
    for resource in rule.get("resources").each():
        name = resource.text() or ""
        for names, needed, what in _ESCALATING:
            if name in names and verbs and (not needed or verbs & (needed | {"*"})):
                yield Violation(resource.path, f"with these verbs, {what}")


def _reads_secrets(subject: Subject) -> Iterator[Violation]:
    for rule in subject.get("rules").each():
        yield from attempt(_secret_reads(rule))


def _secret_reads(rule: Node) -> Iterator[Violation]:
    if list(rule.get("resourceNames").each()):
        return
    verbs = {verb.text() or "" for verb in rule.get("verbs").each()}
    for resource in rule.get("resources").each():
        if resource.text() == "secrets" and verbs & {"get", "list", "watch", "*"}:
            yield Violation(resource.path, "can be read in every namespace, without naming one")


def _is_binding(kind: Kind) -> bool:
    return kind.is_a(_RBAC, "ClusterRoleBinding", "RoleBinding")


def _is_role(kind: Kind) -> bool:
    return kind.is_a(_RBAC, "ClusterRole", "Role")


def _is_cluster_role(kind: Kind) -> bool:
    return kind.is_a(_RBAC, "ClusterRole")


RULES = (
    Rule(
        id="cluster/no-cluster-admin",
        level="mandatory",
        severity="critical",
        title="Nobody is bound to cluster-admin, or to a role of the control plane.",
        why="Its holder owns the cluster and, through it, every host of the site.",
        remedy="Bind a role that lists what is needed. People administer a site with the kubeconfig of "
        "`edge kubeconfig`, or through `registrations`.",
        url=f"{_GOOD_PRACTICES}#least-privilege",
        applies=_is_binding,
        check=_no_cluster_admin,
        about="ClusterRoleBinding, RoleBinding",
        references=(*cis_kubernetes("5.1.1", "5.1.7"), *top_ten("K03"), *ACCESS_CHAPTER),
    ),
    Rule(
        id="cluster/named-subjects",
        level="mandatory",
        severity="critical",
        title="A role is granted to named people and accounts, never to everyone.",
        why="What is granted to anonymous or to all authenticated users is granted to every pod and to everyone who "
        "reaches port 6443.",
        remedy="Name the user, the group of your identity provider, or a ServiceAccount that is not `default`.",
        url=f"{_GOOD_PRACTICES}#least-privilege",
        applies=_is_binding,
        check=_named_subjects,
        about="ClusterRoleBinding, RoleBinding",
        references=(*cis_kubernetes("5.1.5"), *top_ten("K03"), *ACCESS_CHAPTER),
    ),
    Rule(
        id="cluster/rbac-no-wildcard",
        level="mandatory",
        severity="high",
        title="No role uses a wildcard.",
        why="A wildcard also covers Secrets, and every kind that a later release or chart adds.",
        remedy="List the API groups, resources and verbs; write rules out instead of `aggregationRule`.",
        url=f"{_GOOD_PRACTICES}#least-privilege",
        applies=_is_role,
        check=_no_wildcard,
        about="ClusterRole, Role",
        references=(*cis_kubernetes("5.1.3"), *top_ten("K03"), *ACCESS_CHAPTER),
    ),
    Rule(
        id="cluster/rbac-no-escalation",
        level="mandatory",
        severity="critical",
        title="No role lets its holder gain other rights.",
        why="escalate, bind, impersonate, and writes to tokens, certificates, webhooks, volumes and kubelets all "
        "end in cluster-admin.",
        remedy="Remove the verb or the resource from the role.",
        url=f"{_GOOD_PRACTICES}#privilege-escalation-risks",
        applies=_is_role,
        check=_no_escalation,
        about="ClusterRole, Role",
        references=(
            *cis_kubernetes("5.1.8", "5.1.9", "5.1.10", "5.1.11", "5.1.12", "5.1.13"),
            *top_ten("K03"),
        ),
    ),
    Rule(
        id="cluster/rbac-no-secrets-reader",
        level="mandatory",
        severity="high",
        title="No ClusterRole reads the Secrets of all namespaces.",
        why="They hold the keys of Git, registries and telemetry, and tokens of accounts with more rights.",
        remedy="Use a Role in one namespace, or name the Secrets in `resourceNames`.",
        url=f"{_GOOD_PRACTICES}#listing-secrets",
        applies=_is_cluster_role,
        check=_reads_secrets,
        about="ClusterRole",
        references=(*cis_kubernetes("5.1.2"), *top_ten("K03")),
    ),
)
