"""Workloads: the Pod Security Standard *restricted*, as the admission plugin of the cluster's Kubernetes reads it.

From 1.34 on that is exact. For older releases `no-probe-host` asks for more than they do. Applies to init, ordinary and
ephemeral containers alike. Host ports are part of the standard, but the network group judges them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policies.rules.frameworks import BASELINE, POD_CHAPTER, RESTRICTED, cis_kubernetes, top_ten
from policies.rules.model import NEWEST_KUBERNETES, Settings, Violation
from policies.rules.pods import Container, Pod, may_hold_pods
from policies.rules.rule import Rule, each_container, each_pod
from policies.rules.subject import Subject
from policies.rules.tree import Node

POD_SECURITY_VERSION = f"1.{NEWEST_KUBERNETES}"
"""The newest Kubernetes release whose reading of the standard these rules know."""

_STANDARD = "https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"

_VOLUMES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)
_HOST_VOLUMES = frozenset(("hostDisk", "hostPath"))
_SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"))
_SYSCTLS: Mapping[str, int] = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_notsent_lowat": 37,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_slow_start_after_idle": 37,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.tcp_wmem": 32,
}
"""Safe sysctls, with the minor of Kubernetes that is the first to allow them."""
_USER_NAMESPACES = 35
"""The first minor that allows a pod in a user namespace (`hostUsers: false`) to be root there."""
CONFINED = frozenset(("RuntimeDefault", "Localhost"))
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


def _no_privileged(pod: Pod, container: Container) -> Iterator[Violation]:
    privileged = container.security.get("privileged")
    if privileged.flag():
        yield Violation(privileged.path, "is true: the container has full access to the host")


def _no_host_process(subject: Subject) -> Iterator[Violation]:
    yield from each_pod(lambda pod: _host_process(pod.security))(subject)
    yield from each_container(lambda _, container: _host_process(container.security))(subject)


def _host_process(security: Node) -> Iterator[Violation]:
    host_process = security.get("windowsOptions", "hostProcess")
    if host_process.flag():
        yield Violation(host_process.path, "is true: the container is a process of the host")


def _no_host_namespaces(pod: Pod) -> Iterator[Violation]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        shared = pod.spec.get(name)
        if shared.flag():
            yield Violation(shared.path, "is true: the pod shares the host's namespace")


def _no_escalation(pod: Pod, container: Container) -> Iterator[Violation]:
    allowed = container.security.get("allowPrivilegeEscalation")
    if pod.windows or allowed.flag() is False or (container.patch and not allowed.present):
        return
    yield Violation(allowed.path, "is true" if allowed.present else "is not set, which allows it")


def in_user_namespace(pod: Pod, settings: Settings) -> bool:
    """Whether root in the pod is nobody outside, and its Kubernetes counts that."""
    return pod.user_namespace and settings.kubernetes >= _USER_NAMESPACES


def _non_root(subject: Subject) -> Iterator[Violation]:
    settings = subject.settings
    yield from each_pod(lambda pod: _non_root_pod(pod, settings))(subject)
    yield from each_container(lambda pod, container: _non_root_container(pod, container, settings))(subject)


def _non_root_pod(pod: Pod, settings: Settings) -> Iterator[Violation]:
    if not in_user_namespace(pod, settings):
        yield from _explicit_root(pod.security)


def _non_root_container(pod: Pod, container: Container, settings: Settings) -> Iterator[Violation]:
    if in_user_namespace(pod, settings):
        return
    yield from _explicit_root(container.security)
    asked = container.security.get("runAsNonRoot")
    if not asked.present and not container.patch and not pod.security.get("runAsNonRoot").present:
        yield Violation(asked.path, "is not set, neither here nor for the pod")


def _explicit_root(security: Node) -> Iterator[Violation]:
    asked = security.get("runAsNonRoot")
    if asked.flag() is False:
        yield Violation(asked.path, "is false")
    user = security.get("runAsUser")
    if user.number() == 0:
        yield Violation(user.path, "is 0, which is root")


def _drop_capabilities(pod: Pod, container: Container) -> Iterator[Violation]:
    if pod.windows:
        return
    capabilities = container.security.get("capabilities")
    drop, add = capabilities.get("drop"), capabilities.get("add")
    for capability in add.each():
        if capability.text() != "NET_BIND_SERVICE":
            yield Violation(capability.path, "is added; only NET_BIND_SERVICE may be")
    dropped = list(drop.each())
    if any(capability.value == "ALL" for capability in dropped) or (container.patch and not drop.present):
        return
    for capability in dropped:
        capability.text()
    yield Violation(drop.path, "does not hold ALL")


def _seccomp(subject: Subject) -> Iterator[Violation]:
    yield from each_pod(lambda pod: iter(()) if pod.windows else _profile(pod.security, "seccompProfile"))(subject)
    yield from each_container(_seccomp_container)(subject)


def _seccomp_container(pod: Pod, container: Container) -> Iterator[Violation]:
    if pod.windows:
        return
    profile = container.security.get("seccompProfile")
    if profile.present:
        yield from _profile(container.security, "seccompProfile")
    elif not container.patch and not pod.security.get("seccompProfile").present:
        yield Violation(profile.path, "is not set, neither here nor for the pod")


def _profile(security: Node, name: str) -> Iterator[Violation]:
    """A seccomp or AppArmor profile, where one is set."""
    profile = security.get(name)
    if profile.present and profile.get("type").text() not in CONFINED:
        yield Violation(profile.get("type").path, "is neither RuntimeDefault nor Localhost")


def _apparmor(subject: Subject) -> Iterator[Violation]:
    yield from each_pod(_apparmor_pod)(subject)
    yield from each_container(lambda _, container: _profile(container.security, "appArmorProfile"))(subject)


def _apparmor_pod(pod: Pod) -> Iterator[Violation]:
    yield from _profile(pod.security, "appArmorProfile")
    for key, value in pod.metadata.get("annotations").entries():
        if key.startswith(_APPARMOR_ANNOTATION):
            profile = value.text() or ""
            if profile not in ("", "runtime/default") and not profile.startswith("localhost/"):
                yield Violation(value.path, "is neither runtime/default nor a profile of the host")


def _selinux(subject: Subject) -> Iterator[Violation]:
    yield from each_pod(lambda pod: _selinux_options(pod.security))(subject)
    yield from each_container(lambda _, container: _selinux_options(container.security))(subject)


def _selinux_options(security: Node) -> Iterator[Violation]:
    options = security.get("seLinuxOptions")
    if (options.get("type").text() or "") not in _SELINUX_TYPES:
        yield Violation(options.get("type").path, "is not a type for containers")
    for name in ("user", "role"):
        if options.get(name).text():
            yield Violation(options.get(name).path, "is set; SELinux users and roles are the host's")


def _safe_sysctls(subject: Subject) -> Iterator[Violation]:
    minor = subject.settings.kubernetes
    yield from each_pod(lambda pod: _unsafe_sysctls(pod, minor))(subject)


def _unsafe_sysctls(pod: Pod, minor: int) -> Iterator[Violation]:
    for sysctl in pod.security.get("sysctls").each():
        since = _SYSCTLS.get(sysctl.get("name").text() or "")
        if since is None:
            yield Violation(sysctl.path, "is not one of the safe sysctls")
        elif since > minor:
            yield Violation(sysctl.path, f"is a safe sysctl only from Kubernetes 1.{since} on; this is 1.{minor}")


def proc_mount(container: Container) -> Iterator[Violation]:
    """/proc unmasked."""
    mount = container.security.get("procMount")
    if mount.text() not in (None, "Default"):
        yield Violation(mount.path, "is not Default: it unmasks /proc")


def _no_probe_host(_: Pod, container: Container) -> Iterator[Violation]:
    handlers = [container.node.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    handlers += [container.node.get("lifecycle", name) for name in ("postStart", "preStop")]
    for handler in handlers:
        for action in ("httpGet", "tcpSocket"):
            host = handler.get(action, "host")
            if host.text():
                yield Violation(host.path, "is set: the kubelet would call another host for the pod")


def _volume_types(pod: Pod) -> Iterator[Violation]:
    for volume in pod.each_volume():
        for source, value in volume.entries():
            # What else a custom resource calls a volume is its own controller's.
            refused = source in _HOST_VOLUMES if pod.loose else source != "name" and source not in _VOLUMES
            if refused and value.present:
                yield Violation(value.path, "is a volume type that reaches outside the pod")


RULES = (
    Rule(
        id="workload/no-privileged",
        level="mandatory",
        severity="critical",
        title="No container is privileged.",
        why="A privileged container is root on the host: one flaw in the workload gives an attacker the machine.",
        remedy="Remove `privileged`; grant access to the one device that is needed, through a device plugin.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=each_container(_no_privileged),
        references=(*BASELINE, *cis_kubernetes("5.2.2"), *top_ten("K01"), *POD_CHAPTER),
    ),
    Rule(
        id="workload/no-host-process",
        level="mandatory",
        severity="critical",
        title="No Windows container is a HostProcess container.",
        why="A HostProcess container is a process of the host with access to all of it.",
        remedy="Remove `windowsOptions.hostProcess`.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=_no_host_process,
        references=(*BASELINE, *cis_kubernetes("5.2.11"), *top_ten("K01")),
    ),
    Rule(
        id="workload/no-host-namespaces",
        level="mandatory",
        severity="critical",
        title="No pod shares the host's network, process or IPC namespace.",
        why="From the host's namespaces a pod sees the traffic and the processes of everything else on the machine.",
        remedy="Remove `hostNetwork`, `hostPID` and `hostIPC`; publish what others need through a Service.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=each_pod(_no_host_namespaces),
        references=(
            *BASELINE,
            *cis_kubernetes("5.2.3", "5.2.4", "5.2.5"),
            *top_ten("K01"),
            *POD_CHAPTER,
        ),
    ),
    Rule(
        id="workload/no-escalation",
        level="mandatory",
        severity="high",
        title="Every container forbids privilege escalation.",
        why="Otherwise a set-uid binary in the image can make its caller root.",
        remedy="Set `securityContext.allowPrivilegeEscalation: false` on every container.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=each_container(_no_escalation),
        references=(*RESTRICTED, *cis_kubernetes("5.2.6"), *top_ten("K01"), *POD_CHAPTER),
    ),
    Rule(
        id="workload/non-root",
        level="mandatory",
        severity="high",
        title="No container runs as root.",
        why="A process that breaks out of its container keeps its user: root inside is root outside.",
        remedy="Set `runAsNonRoot: true` for the pod and a `runAsUser` other than 0.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=_non_root,
        references=(*RESTRICTED, *cis_kubernetes("5.2.7"), *top_ten("K01"), *POD_CHAPTER),
    ),
    Rule(
        id="workload/drop-capabilities",
        level="mandatory",
        severity="high",
        title="Every container drops ALL capabilities and adds none but NET_BIND_SERVICE.",
        why="The default set is enough to forge packets and to change the owner of files.",
        remedy="Set `securityContext.capabilities.drop: [ALL]` and add at most NET_BIND_SERVICE.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=each_container(_drop_capabilities),
        references=(
            *RESTRICTED,
            *cis_kubernetes("5.2.8", "5.2.9", "5.2.10"),
            *top_ten("K01"),
            *POD_CHAPTER,
        ),
    ),
    Rule(
        id="workload/seccomp",
        level="mandatory",
        severity="high",
        title="Every container has a seccomp profile.",
        why="Most ways out of a container begin with a system call that no workload needs.",
        remedy="Set `securityContext.seccompProfile.type: RuntimeDefault` for the pod.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=_seccomp,
        references=(*RESTRICTED, *cis_kubernetes("5.7.2"), *top_ten("K01"), *POD_CHAPTER),
    ),
    Rule(
        id="workload/volume-types",
        level="mandatory",
        severity="high",
        title="Volumes are of the types that stay inside the cluster.",
        why="A hostPath exposes part of the host; the other types bypass the storage that the cluster manages.",
        remedy="Use configMap, secret, projected, downwardAPI, emptyDir, image, csi, ephemeral or "
        "persistentVolumeClaim.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=each_pod(_volume_types),
        references=(*RESTRICTED, *cis_kubernetes("5.2.12"), *top_ten("K01"), *POD_CHAPTER),
    ),
    Rule(
        id="workload/apparmor",
        level="mandatory",
        severity="medium",
        title="No AppArmor profile is switched off.",
        why="Unconfined removes the profile that the container runtime applies by default.",
        remedy="Remove the profile, or use RuntimeDefault or Localhost.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=_apparmor,
        references=(*BASELINE, *top_ten("K01"), *POD_CHAPTER),
    ),
    Rule(
        id="workload/selinux",
        level="mandatory",
        severity="medium",
        title="SELinux options use only the types for containers.",
        why="Other types, users and roles belong to the host and have its rights.",
        remedy="Remove `seLinuxOptions.user` and `.role`; use container_t or another container type.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=_selinux,
        references=(*BASELINE, *top_ten("K01"), *POD_CHAPTER),
    ),
    Rule(
        id="workload/safe-sysctls",
        level="mandatory",
        severity="medium",
        title="Only safe sysctls are set.",
        why="Other sysctls are not isolated between pods: they change the host, or keep the pod from starting.",
        remedy="Remove the sysctl, or set it on the hosts.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=_safe_sysctls,
        references=(*BASELINE, *top_ten("K01")),
    ),
    Rule(
        id="workload/proc-mount",
        level="mandatory",
        severity="medium",
        title="/proc is mounted masked.",
        why="An unmasked /proc exposes the state of the kernel and lets the container change it.",
        remedy="Remove `securityContext.procMount`.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=each_container(lambda _, container: proc_mount(container)),
        references=(*BASELINE, *top_ten("K01")),
    ),
    Rule(
        id="workload/no-probe-host",
        level="mandatory",
        severity="medium",
        title="Probes and lifecycle hooks call the pod itself.",
        why="With a `host` the kubelet makes the call from the host's network, to wherever the pod says.",
        remedy="Remove `host` from the probe or hook.",
        url=_STANDARD,
        applies=may_hold_pods,
        check=each_container(_no_probe_host),
        references=BASELINE,
    ),
)
