"""K3s: each node's configuration against the CIS benchmark's profile for its release.

Judges what the component publishes of the configurations that it writes (``configurations``): the flags that its
processes run with, K3s' own defaults among them; how Secrets are encrypted; the audit and the admission of pods. Judges
commands by hand only for flags that would weaken it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from policies.rules.benchmark.checks import NAME, flag_checks, minor_of
from policies.rules.benchmark.effective import ARGUMENTS, effective
from policies.rules.benchmark.flags import FLAGS
from policies.rules.benchmark.model import Datastore, FlagCheck
from policies.rules.kinds import Kind
from policies.rules.model import UNKNOWN, HiddenError, Severity, Violation
from policies.rules.rule import Check, Reference, Rule, attempt
from policies.rules.scripts import plain
from policies.rules.subject import Subject
from policies.rules.tree import Node

_GUIDE = "https://docs.k3s.io/security/hardening-guide"
_ABOUT = "edge:index:K3s"
_DATASTORES: tuple[Datastore, ...] = ("sqlite", "etcd", "external")
_KEYS = {process: key for key, process in ARGUMENTS.items()}

_MODES = ("enforce", "audit", "warn")
_LEVELS = ("Metadata", "Request", "RequestResponse")
"""Levels of an audit policy that record who did what."""


def configurations(subject: Subject) -> Iterator[Node]:
    """What each kind of node of the cluster is configured with. A cluster that does not say counts as unknown."""
    published = subject.get("configurations")
    found = list(published.each())
    if not found:
        raise HiddenError(published.path, "is not published")
    yield from found


def value_of(node: Node) -> Any:
    """``node`` as a plain value. Raises ``HiddenError`` where anything of it is unknown."""
    if node.value is UNKNOWN:
        node.text()
    if isinstance(node.value, dict):
        return {key: value_of(child) for key, child in node.entries()}
    if isinstance(node.value, list):
        return [value_of(child) for child in node.each()]
    return node.value


def _datastore(configuration: Node) -> Datastore:
    node = configuration.get("datastore")
    found = next((name for name in _DATASTORES if name == node.text()), None)
    if found is None:
        raise HiddenError(node.path, "is none of sqlite, etcd and external")
    return found


def _server(configuration: Node) -> bool:
    node = configuration.get("role")
    if node.text() not in ("server", "agent"):
        raise HiddenError(node.path, "is neither server nor agent")
    return node.text() == "server"


def _flags(rule: str) -> Check:
    """A check of everything that the benchmark asks of flags under this rule."""

    def check(subject: Subject) -> Iterator[Violation]:
        for configuration in configurations(subject):
            yield from attempt(_flags_of(configuration, rule))

    return check


def _flags_of(configuration: Node, rule: str) -> Iterator[Violation]:
    config, version = configuration.get("config"), configuration.get("version")
    if not isinstance(config.value, dict):
        raise HiddenError(config.path, "is not known before deployment" if config.value is UNKNOWN else "is no object")
    datastore, minor = _datastore(configuration), minor_of(version.text() or "")
    flags = effective(value_of(config), server=_server(configuration), datastore=datastore)
    for check in flag_checks(minor, datastore, flags):
        if check.rule == rule and check.reason is None and not check.met(flags.get(check.process, {})):
            yield Violation(_place(config, check), _said(check))


def _place(config: Node, check: FlagCheck) -> str:
    key = _KEYS.get(check.process)
    if check.rule == "k3s-secrets-encryption":
        key = "secrets-encryption" if check.process == "kube-apiserver" else "secrets-encryption-provider"
    return config.get(key or "").path


def _said(check: FlagCheck) -> str:
    flags = ", ".join(check.flags)
    return f"breaks {NAME} {check.id} ({check.title}): {flags} of {check.process} must be {check.required}"


def _servers(check: Callable[[Node], Iterator[Violation]]) -> Check:
    """A check of what servers alone have."""

    def over(subject: Subject) -> Iterator[Violation]:
        for configuration in configurations(subject):
            yield from attempt(check(configuration) if _server(configuration) else iter(()))

    return over


def _both(*checks: Check) -> Check:
    def over(subject: Subject) -> Iterator[Violation]:
        for check in checks:
            yield from check(subject)

    return over


def _audit_policy(configuration: Node) -> Iterator[Violation]:
    """Whatever no earlier rule of the policy names is recorded, and what is left out is named by its resources."""
    policy = configuration.get("audit")
    rules = list(policy.get("rules").each())
    for rule in rules:
        if rule.get("level").text() == "None" and not list(rule.get("resources").each()):
            yield Violation(
                rule.path, "leaves requests out of the audit without naming the resources that they are for"
            )
    last = rules[-1] if rules else None
    narrowed = last is not None and [name for name, node in last.entries() if name != "level" and node.present]
    if last is None or narrowed or last.get("level").text() not in _LEVELS:
        yield Violation(policy.get("rules").path, "does not end with a rule that records all other requests")


def _admission(configuration: Node) -> Iterator[Violation]:
    plugins = configuration.get("admission", "plugins")
    by_name = {plugin.get("name").text(): plugin.get("configuration") for plugin in plugins.each()}
    security = by_name.get("PodSecurity")
    if security is None:
        yield Violation(plugins.path, "has no PodSecurity: pods of any kind are admitted")
    else:
        for mode in _MODES:
            level = security.get("defaults", mode)
            if level.text() != "restricted":
                yield Violation(level.path, "is not restricted")
        for name in ("usernames", "runtimeClasses"):
            exempt = security.get("exemptions", name)
            if list(exempt.each()):
                yield Violation(exempt.path, "exempts pods of any kind in every namespace")
    if "EventRateLimit" not in by_name:
        yield Violation(plugins.path, "has no limits for EventRateLimit: the API server does not start without them")
    elif not list(by_name["EventRateLimit"].get("limits").each()):
        yield Violation(by_name["EventRateLimit"].get("limits").path, "has no limit")


def _kernel_defaults(subject: Subject) -> Iterator[Violation]:
    for configuration in configurations(subject):
        node = configuration.get("config", "protect-kernel-defaults")
        if not node.flag():
            yield Violation(node.path, "is not true: the kubelet changes settings of the kernel by itself")


_WEAK: Mapping[str, tuple[tuple[FlagCheck, ...], ...]] = {
    flag: tuple(
        tuple(check for check in FLAGS if check.process == process and check.flag == flag and check.reason is None)
        for process in dict.fromkeys(check.process for check in FLAGS if check.flag == flag)
    )
    for flag in dict.fromkeys(check.flag for check in FLAGS if check.operator not in ("set",))
    if flag not in ("provider",)
}
"""By flag, its checks for each process that has it."""

_GIVEN = re.compile(rf"(?<!\w)(?<!\w-)({'|'.join(map(re.escape, _WEAK))})=([^\s\"'\\]+)")
_SWITCHES = ("secrets-encryption", "protect-kernel-defaults")
_OFF = re.compile(rf"(?<!\w)(?<!\w-)({'|'.join(_SWITCHES)})(?:=|:\s*)[\"']?false\b")
_ARGUMENT_KEYS = tuple(ARGUMENTS)


@functools.lru_cache(maxsize=128)
def weak_arguments(script: str) -> tuple[str, ...]:
    """Arguments of K3s in ``script`` whose values no process that has them may have."""
    found: list[str] = []
    if "k3s" in script and any(switch in script for switch in _SWITCHES):
        found = [match[1] for match in _OFF.finditer(script)]
    if any(key in script for key in _ARGUMENT_KEYS):
        for flag, value in _GIVEN.findall(plain(script)):
            if all(any(not check.met({flag: value}) for check in checks) for checks in _WEAK[flag]):
                found.append(flag)
    return tuple(dict.fromkeys(found))


def _no_weak_argument(subject: Subject) -> Iterator[Violation]:
    for name in ("create", "update"):
        node = subject.get(name)
        for flag in weak_arguments(node.text() or ""):
            yield Violation(node.path, f"gives K3s the argument {flag} with a value that the {NAME} benchmark refuses")


def _is_k3s(kind: Kind) -> bool:
    return kind.is_part("K3s")


def _runs_script(kind: Kind) -> bool:
    return kind.command and kind.name == "Command"


def _references(rule: str, *more: str) -> tuple[Reference, ...]:
    return tuple(Reference(NAME, number) for number in (*(one.id for one in FLAGS if one.rule == rule), *more))


def _rule(
    name: str,
    *,
    severity: Severity,
    title: str,
    why: str,
    remedy: str,
    check: Check | None = None,
    more: tuple[str, ...] = (),
) -> Rule:
    judged = _flags(name)
    return Rule(
        id=f"host/{name}",
        level="mandatory",
        severity=severity,
        title=title,
        why=why,
        remedy=remedy,
        url=_GUIDE,
        applies=_is_k3s,
        check=_both(judged, check) if check else judged,
        references=_references(name, *more),
        about=_ABOUT,
    )


_OURS = (
    "The component sets this by itself; remove what overrides it. `edge audit SITE` names each check and its remedy."
)

RULES = (
    _rule(
        "k3s-api-server",
        severity="critical",
        title="The API server of K3s keeps every check of the CIS benchmark.",
        why="Whoever is on the network of a site reaches it: what it lets through unasked belongs to everybody there.",
        remedy=_OURS,
    ),
    _rule(
        "k3s-control-plane",
        severity="high",
        title="Controller manager, scheduler and etcd of K3s keep every check of the CIS benchmark.",
        why="They hold keys and all data of the cluster, and are not meant to be reached from outside of their host.",
        remedy=_OURS,
    ),
    _rule(
        "k3s-kubelet",
        severity="high",
        title="Kubelets keep every check of the CIS benchmark.",
        why="A kubelet that answers unasked runs commands in every pod of its host.",
        remedy=_OURS,
        check=_kernel_defaults,
    ),
    _rule(
        "k3s-secrets-encryption",
        severity="critical",
        title="Secrets are encrypted in the datastore, by a strong provider.",
        why="A copy of the datastore, a snapshot or a stolen disk would hold every password in plain text.",
        remedy="Write `secrets-encryption: true`, and `secrets-encryption-provider: secretbox` where the release has "
        "it; the component sets both by itself.",
    ),
    _rule(
        "k3s-audit",
        severity="high",
        title="Every request to the API is audited, and the log is kept for 30 days.",
        why="After an incident at a site that nobody can walk up to, the audit log is all there is to look at.",
        remedy="Keep the arguments `audit-log-*` and `audit-policy-file` of the API server, and end the policy with "
        "`level: Metadata`; the component sets both by itself.",
        check=_servers(_audit_policy),
        more=("3.2.2",),
    ),
    _rule(
        "k3s-admission",
        severity="high",
        title="Pods are admitted by the restricted Pod Security Standard, and the rate of events is limited.",
        why="What GitOps or a person applies to the cluster passes no policy of Pulumi: admission is what stops it.",
        remedy="Keep `restricted` as the default of all modes and exempt single namespaces, as the component does by "
        "itself; keep the admission plugins and the limits of EventRateLimit.",
        check=_servers(_admission),
        more=("5.2.1",),
    ),
    Rule(
        id="host/k3s-no-weak-argument",
        level="mandatory",
        severity="high",
        title="No command gives K3s an argument that weakens it below the CIS benchmark.",
        why="One argument beside the configuration that the component writes undoes what it sets.",
        remedy="Remove the argument, or give it the value that `edge audit SITE` shows as required.",
        url=_GUIDE,
        applies=_runs_script,
        check=_no_weak_argument,
        references=(Reference(NAME, "1.2"), Reference(NAME, "1.3"), Reference(NAME, "1.4"), Reference(NAME, "4.2")),
        about="command:remote:Command, command:local:Command",
        unknown="warns",
    ),
)
