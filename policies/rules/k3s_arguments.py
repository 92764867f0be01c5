"""K3s: arguments of Kubernetes' programs that weaken a cluster, and that no check of the CIS benchmark asks about.

Judges what the component publishes of each kind of node. What the benchmark asks about is judged in ``k3s``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from policies.rules.benchmark.effective import arguments
from policies.rules.frameworks import ACCESS_CHAPTER
from policies.rules.k3s import configurations, value_of
from policies.rules.kinds import Kind
from policies.rules.model import UNKNOWN, HiddenError, Violation
from policies.rules.rule import Rule, attempt
from policies.rules.subject import Subject
from policies.rules.tree import Node

_EVERYWHERE = ("kubelet-arg", "kube-apiserver-arg", "kube-controller-manager-arg", "kube-scheduler-arg")
_AUTHORIZED = ("kube-controller-manager-arg", "kube-scheduler-arg")

_GATES = frozenset(
    "AuthorizeNodeWithSelectors AuthorizeWithSelectors KubeletFineGrainedAuthz PodSecurity SeccompDefault"
    " ServiceAccountTokenNodeBinding ServiceAccountTokenNodeBindingValidation ValidatingAdmissionPolicy".split()
)
"""Features that protect a cluster. The benchmark asks about RotateKubeletServerCertificate."""

_PLUGINS = frozenset(
    "CertificateApproval CertificateSigning CertificateSubjectRestriction DenyServiceExternalIPs EventRateLimit"
    " LimitRanger MutatingAdmissionWebhook NodeRestriction PodSecurity ResourceQuota ValidatingAdmissionPolicy"
    " ValidatingAdmissionWebhook".split()
)
"""Admission that protects a cluster. The benchmark asks about ServiceAccount and NamespaceLifecycle."""


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _gates(value: str) -> str:
    for item in _items(value):
        name, _, switched = item.partition("=")
        on = switched.lower() in ("", "true", "1", "t")
        if name in ("AllAlpha", "AllBeta") and on:
            return f"switches on every feature that is not finished ({name})"
        if name in _GATES and not on:
            return f"switches {name} off"
    return ""


def _plugins(value: str) -> str:
    found = [name for name in _items(value) if name in _PLUGINS]
    return f"switches {', '.join(found)} off" if found else ""


def _apis(value: str) -> str:
    found = [
        item
        for item in _items(value)
        if not item.lower().endswith("=false") and (item.startswith("api/") or "alpha" in item)
    ]
    return f"serves APIs that are not finished ({', '.join(found)})" if found else ""


def _old_tls(value: str) -> str:
    return f"lets clients in with {value}" if value in ("VersionTLS10", "VersionTLS11") else ""


def _always(value: str) -> str:
    found = [path for path in _items(value) if path not in ("/healthz", "/readyz", "/livez")]
    return f"lets everybody read {', '.join(found)}" if found else ""


def _given(does: str) -> Callable[[str], str]:
    return lambda value: does if value else ""


def _on(does: str) -> Callable[[str], str]:
    return lambda value: does if value.lower() in ("true", "1", "t") else ""


def _off(does: str) -> Callable[[str], str]:
    return lambda value: does if value.lower() in ("false", "0", "f") else ""


class _Weak(NamedTuple):
    keys: tuple[str, ...]
    """Of the configuration: the programs that have the flag."""
    flag: str
    does: Callable[[str], str]
    """What a value of it does; nothing where it does no harm."""


_WEAK = (
    _Weak(_EVERYWHERE, "feature-gates", _gates),
    _Weak(_EVERYWHERE, "tls-min-version", _old_tls),
    _Weak(_AUTHORIZED, "authorization-always-allow-paths", _always),
    _Weak(("kubelet-arg",), "protect-kernel-defaults", _off("lets the kubelet change settings of the kernel")),
    _Weak(("kubelet-arg",), "config", _given("replaces the configuration that K3s writes")),
    _Weak(("kubelet-arg",), "config-dir", _given("replaces the configuration that K3s writes")),
    _Weak(("kubelet-arg",), "allowed-unsafe-sysctls", _given("lets pods change settings of the host's kernel")),
    _Weak(("kubelet-arg",), "manifest-url", _given("starts pods that no admission has seen")),
    _Weak(("kubelet-arg",), "pod-manifest-path", _given("starts pods that no admission has seen")),
    _Weak(("kubelet-arg",), "enable-profiling-handler", _on("shows the memory of the kubelet to its callers")),
    _Weak(("kubelet-arg",), "enable-debug-flags-handler", _on("lets its callers change how much the kubelet logs")),
    _Weak(("kube-apiserver-arg",), "disable-admission-plugins", _plugins),
    _Weak(("kube-apiserver-arg",), "runtime-config", _apis),
    _Weak(("kube-apiserver-arg",), "cors-allowed-origins", _given("lets pages of other sites call the API")),
    _Weak(("kube-apiserver-arg",), "debug-socket-path", _given("opens a socket without authentication")),
    _Weak(("kube-apiserver-arg",), "contention-profiling", _on("shows the memory of the API server to its callers")),
)
_BY_KEY: Mapping[str, tuple[_Weak, ...]] = {key: tuple(one for one in _WEAK if key in one.keys) for key in _EVERYWHERE}


def _weak(subject: Subject) -> Iterator[Violation]:
    for configuration in configurations(subject):
        yield from attempt(_of(configuration.get("config")))


def _of(config: Node) -> Iterator[Violation]:
    if not isinstance(config.value, dict):
        raise HiddenError(config.path, "is not known before deployment" if config.value is UNKNOWN else "is no object")
    for key, weak in _BY_KEY.items():
        for node in (config.get(key), config.get(f"{key}+")):
            if not node.present:
                continue
            for flag, value in arguments(value_of(node)):
                for one in weak:
                    if one.flag == flag.rstrip("+-") and (does := one.does(value)):
                        yield Violation(node.path, f"has {flag}={value}, which {does}")


def _is_k3s(kind: Kind) -> bool:
    return kind.is_part("K3s")


RULES = (
    Rule(
        id="host/k3s-arguments",
        level="mandatory",
        severity="high",
        title="No argument of Kubernetes' programs weakens what protects the cluster.",
        why="One argument switches off admission or starts pods past the API, and no check "
        "of the CIS benchmark asks about it.",
        remedy="Remove the argument from `kubelet_args`, `kube_apiserver_args`, `kube_controller_manager_args` or "
        "`kube_scheduler_args` below `k3s`.",
        url="https://docs.k3s.io/security/hardening-guide",
        applies=_is_k3s,
        check=_weak,
        references=ACCESS_CHAPTER,
        about="edge:index:K3s",
    ),
)
