"""Workloads: what a site requires beyond the Pod Security Standard, and all rules of the group."""

from __future__ import annotations

from collections.abc import Iterator

from policies.rules import pod_security
from policies.rules.frameworks import NETWORK_CHAPTER, POD_CHAPTER, cis_kubernetes, top_ten
from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Violation
from policies.rules.pod_security import in_user_namespace
from policies.rules.pods import Container, Pod, is_workload, may_hold_pods
from policies.rules.rule import Rule, attempt, each_container, each_pod, hidden
from policies.rules.subject import Subject
from policies.rules.tree import Node

_CONCEPTS = "https://kubernetes.io/docs/concepts"


def _read_only_root(pod: Pod, container: Container) -> Iterator[Violation]:
    read_only = container.security.get("readOnlyRootFilesystem")
    if pod.windows or read_only.flag() or (container.patch and not read_only.present):
        return
    yield Violation(read_only.path, "is not true")


def _requests_and_limits(pod: Pod, container: Container) -> Iterator[Violation]:
    if container.patch or container.list_name == "ephemeralContainers":
        return
    resources, shared = container.node.get("resources"), pod.spec.get("resources")
    for name, kinds in (("cpu", ("requests", "limits")), ("memory", ("requests", "limits")), ("memory", ("limits",))):
        if not any(of.get(kind, name).present for of in (resources, shared) for kind in kinds):
            yield Violation(resources.get(kinds[0], name).path, "is not set, neither here nor for the pod")


_FIRST_HIGH_USER = 10_000


def _high_user(subject: Subject) -> Iterator[Violation]:
    for pod in subject.pods:
        if not pod.windows and not in_user_namespace(pod, subject.settings):
            yield from attempt(_users_of(pod))


def _users_of(pod: Pod) -> Iterator[Violation]:
    shared = pod.security.get("runAsUser")
    users: dict[str, Node] = {}
    for container in pod.containers:
        if isinstance(container, HiddenError):
            yield hidden(container)
            continue
        own = container.security.get("runAsUser")
        if own.present or shared.present:
            user = own if own.present else shared
            users[user.path] = user
        elif not pod.patch and not container.patch:
            yield Violation(own.path, "is not set, neither here nor for the pod: the image decides")
    if not pod.containers:
        users[shared.path] = shared
    for path, user in users.items():
        # Root is refused by `workload/non-root`.
        if 0 < (user.number() or 0) < _FIRST_HIGH_USER:
            yield Violation(path, f"is below {_FIRST_HIGH_USER}, where the accounts of a host are")


def _disk_limit(pod: Pod, container: Container) -> Iterator[Violation]:
    """Who writes to the disk of a host has a limit. Logs are rotated by the kubelet, and volumes have a limit of their
    own where they have a `sizeLimit`."""
    if pod.patch or container.patch or pod.windows or container.list_name == "ephemeralContainers":
        return
    limit = container.node.get("resources", "limits", "ephemeral-storage")
    if limit.present:
        return
    mounted = {mount.get("name").text() for mount in container.node.get("volumeMounts").each()}
    boundless = {
        volume.get("name").text()
        for volume in pod.each_volume()
        if volume.get("emptyDir").present
        and volume.get("emptyDir", "medium").text() != "Memory"
        and not volume.get("emptyDir", "sizeLimit").present
    }
    if not container.security.get("readOnlyRootFilesystem").flag():
        yield Violation(limit.path, "is not set, and the container writes to its root file system")
    elif mounted & boundless:
        yield Violation(limit.path, "is not set, and the container writes to an emptyDir without a sizeLimit")


def _probes(pod: Pod, container: Container) -> Iterator[Violation]:
    completes = pod.kind.name in ("Job", "CronJob") or pod.spec.get("restartPolicy").text() in (
        "Never",
        "OnFailure",
    )
    if container.patch or completes or container.list_name != "containers":
        return
    for name in ("livenessProbe", "readinessProbe"):
        probe = container.node.get(name)
        if not probe.present:
            yield Violation(probe.path, "is not set")


def _no_token_automount(subject: Subject) -> Iterator[Violation]:
    if subject.kind.is_a("core", "ServiceAccount"):
        mounted = subject.get("automountServiceAccountToken")
        if mounted.flag():
            yield Violation(mounted.path, "is true")
        return
    yield from each_pod(_no_token_in_pod)(subject)


def _no_token_in_pod(pod: Pod) -> Iterator[Violation]:
    mounted = pod.spec.get("automountServiceAccountToken")
    if mounted.flag() is False or (pod.patch and not mounted.present):
        return
    yield Violation(mounted.path, "is true" if mounted.present else "is not set, which mounts the token")


def _not_default_namespace(subject: Subject) -> Iterator[Violation]:
    if not is_workload(subject.kind) and not any(pod.runs for pod in subject.pods):
        return
    namespace = subject.get("metadata", "namespace")
    name = namespace.text()
    # Custom resources with such a name are not in a namespace.
    of_cluster = subject.kind.custom and subject.kind.name.startswith("Cluster")
    if name == "default" or (not name and not subject.kind.patch and not of_cluster):
        yield Violation(namespace.path, "is default" if name else "is not set, which means default")


def _pods_or_accounts(kind: Kind) -> bool:
    return may_hold_pods(kind) or kind.is_a("core", "ServiceAccount")


RULES = (
    *pod_security.RULES,
    Rule(
        id="workload/read-only-root",
        level="advisory",
        severity="medium",
        title="Every container's root file system is read-only.",
        why="An intruder cannot store files in the container, and the workload cannot fill the host's disk.",
        remedy="Set `readOnlyRootFilesystem: true` and mount an emptyDir where the program writes.",
        url=f"{_CONCEPTS}/security/security-checklist/",
        applies=may_hold_pods,
        check=each_container(_read_only_root),
        references=(*cis_kubernetes("5.7.3"), *top_ten("K01"), *POD_CHAPTER),
    ),
    Rule(
        id="workload/requests-and-limits",
        level="mandatory",
        severity="medium",
        title="Every container requests CPU and memory, and limits memory.",
        why="On a small host, one workload without a memory limit can bring down the others and the node. CPU needs no "
        "limit: it is shared in proportion to the requests.",
        remedy="Set `resources.requests.cpu`, `resources.requests.memory` and `resources.limits.memory`.",
        url=f"{_CONCEPTS}/configuration/manage-resources-containers/",
        applies=may_hold_pods,
        check=each_container(_requests_and_limits),
        references=(*top_ten("K01"), *NETWORK_CHAPTER),
    ),
    Rule(
        id="workload/high-user",
        level="advisory",
        severity="low",
        title="Every container runs as a user whose number no account of a host has.",
        why="A process that leaves its container has the files and processes of the host's account with its number: on "
        "Fedora CoreOS and Flatcar, 1000 or 500 is `core`, who may become root.",
        remedy=f"Set `runAsUser` to {_FIRST_HIGH_USER} or more, for the pod or the container.",
        url=f"{_CONCEPTS}/security/application-security-checklist/",
        applies=may_hold_pods,
        check=_high_user,
        references=(*top_ten("K01"), *POD_CHAPTER),
    ),
    Rule(
        id="workload/ephemeral-storage",
        level="advisory",
        severity="low",
        title="Every container that writes to the disk of a host has a limit there.",
        why="A full disk makes the kubelet evict other pods, and stops etcd.",
        remedy="Set `resources.limits.ephemeral-storage`, which is then the request too; or make the root file system "
        "read-only and give each emptyDir a `sizeLimit`.",
        url=f"{_CONCEPTS}/configuration/manage-resources-containers/#local-ephemeral-storage",
        applies=may_hold_pods,
        check=each_container(_disk_limit),
        references=(*top_ten("K01"), *NETWORK_CHAPTER),
    ),
    Rule(
        id="workload/probes",
        level="advisory",
        severity="low",
        title="Every long-running container has a liveness and a readiness probe.",
        why="Nobody is at the site to notice that a process hangs.",
        remedy="Add `livenessProbe` and `readinessProbe`.",
        url=f"{_CONCEPTS}/configuration/liveness-readiness-startup-probes/",
        applies=may_hold_pods,
        check=each_container(_probes),
    ),
    Rule(
        id="workload/no-token-automount",
        level="mandatory",
        severity="medium",
        title="No pod gets an API token that it did not ask for.",
        why="With a mounted token, an attacker in the workload can use the cluster's API.",
        remedy="Set `automountServiceAccountToken: false` in the pod; one that talks to the API mounts a projected "
        "serviceAccountToken volume.",
        url=f"{_CONCEPTS}/security/service-accounts/",
        applies=_pods_or_accounts,
        check=_no_token_automount,
        about="workloads, ServiceAccount",
        references=(*cis_kubernetes("5.1.6"), *top_ten("K06"), *POD_CHAPTER),
    ),
    Rule(
        id="workload/not-default-namespace",
        level="mandatory",
        severity="low",
        title="No workload runs in the namespace `default`.",
        why="Quotas, network policies and Pod Security are set for each namespace; `default` has no owner.",
        remedy="Set `metadata.namespace` to a namespace that the site creates.",
        url=f"{_CONCEPTS}/overview/working-with-objects/namespaces/",
        applies=may_hold_pods,
        check=_not_default_namespace,
        references=cis_kubernetes("5.7.1", "5.7.4"),
    ),
)
