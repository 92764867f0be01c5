"""The Pod Security Standard *baseline* where it asks for less than *restricted*: rules for those who ask for it.

They are in no catalogue that judges a site: a site keeps restricted, which holds all of baseline. ``edge check
--manifests --rules pss-baseline`` runs them on what others have written.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.rules.model import Violation
from policies.rules.pod_security import CONFINED, in_user_namespace, proc_mount
from policies.rules.pods import Container, Pod, may_hold_pods
from policies.rules.rule import Rule, each_container, each_pod
from policies.rules.subject import Subject
from policies.rules.tree import Node

_STANDARD = "https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline"
_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)


def _capabilities(_: Pod, container: Container) -> Iterator[Violation]:
    for capability in container.security.get("capabilities", "add").each():
        if capability.text() not in _CAPABILITIES:
            yield Violation(capability.path, "is added; baseline allows only what a container runtime grants by itself")


def _seccomp(subject: Subject) -> Iterator[Violation]:
    yield from each_pod(lambda pod: _not_unconfined(pod.security))(subject)
    yield from each_container(lambda _, container: _not_unconfined(container.security))(subject)


def _not_unconfined(security: Node) -> Iterator[Violation]:
    profile = security.get("seccompProfile")
    if profile.present and profile.get("type").text() not in CONFINED:
        yield Violation(profile.get("type").path, "is neither RuntimeDefault nor Localhost")


def _host_path(pod: Pod) -> Iterator[Violation]:
    for volume in pod.each_volume():
        if volume.get("hostPath").present:
            yield Violation(volume.get("hostPath").path, "exposes part of the host")


def _proc_mount(subject: Subject) -> Iterator[Violation]:
    yield from each_container(
        lambda pod, container: iter(()) if in_user_namespace(pod, subject.settings) else proc_mount(container)
    )(subject)


RULES = (
    Rule(
        id="pss-baseline/capabilities",
        level="mandatory",
        severity="high",
        title="No container adds a capability beyond those of the container runtime.",
        why="Capabilities such as SYS_ADMIN or NET_ADMIN are parts of root on the host.",
        remedy="Remove it from `securityContext.capabilities.add`.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=each_container(_capabilities),
    ),
    Rule(
        id="pss-baseline/seccomp",
        level="mandatory",
        severity="high",
        title="No seccomp profile is switched off.",
        why="Most ways out of a container begin with a system call that no workload needs.",
        remedy="Remove the profile, or use RuntimeDefault or Localhost.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=_seccomp,
    ),
    Rule(
        id="pss-baseline/host-path",
        level="mandatory",
        severity="high",
        title="No volume is a hostPath.",
        why="A hostPath exposes part of the host.",
        remedy="Use a persistentVolumeClaim or an emptyDir.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=each_pod(_host_path),
    ),
    Rule(
        id="pss-baseline/proc-mount",
        level="mandatory",
        severity="medium",
        title="/proc is mounted masked, except in a user namespace from Kubernetes 1.35 on.",
        why="An unmasked /proc exposes the state of the kernel and lets the container change it.",
        remedy="Remove `securityContext.procMount`.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=_proc_mount,
    ),
)
