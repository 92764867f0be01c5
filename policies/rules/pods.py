"""Finding every pod template and every container in an object: workloads, and what embeds a pod template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.rules.kinds import Kind
from policies.rules.model import HiddenError
from policies.rules.tree import Node

_TEMPLATE = ("spec", "template")
_WORKLOADS: dict[tuple[str, str], tuple[str, ...]] = {
    ("core", "Pod"): (),
    ("core", "PodTemplate"): ("template",),
    ("core", "ReplicationController"): _TEMPLATE,
    **{
        (group, name): _TEMPLATE
        for group in ("apps", "extensions")
        for name in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
    },
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
}
"""Where each workload kind keeps its pod template."""

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def is_workload(kind: Kind) -> bool:
    """Whether a built-in kind runs pods."""
    return kind.provider == "kubernetes" and (kind.group, kind.name) in _WORKLOADS


def may_hold_pods(kind: Kind) -> bool:
    """Whether an object of this kind may hold pod templates: workloads, and custom resources that embed one."""
    return is_workload(kind) or kind.custom


class Container:
    """A container of any of the three lists."""

    __slots__ = ("list_name", "node", "security")

    def __init__(self, node: Node, list_name: str) -> None:
        self.node = node
        self.list_name = list_name
        self.security = node.get("securityContext")


class Pod:
    """A pod template, with the kind of the object that holds it."""

    __slots__ = ("_containers", "kind", "metadata", "security", "spec")

    def __init__(self, kind: Kind, node: Node) -> None:
        self.kind = kind
        self.metadata = node.get("metadata")
        self.spec = node.get("spec")
        self.security = self.spec.get("securityContext")
        self._containers: tuple[Container | HiddenError, ...] | None = None

    @property
    def patch(self) -> bool:
        """Whether the object only sets some fields: an absent field keeps its value, and is not judged."""
        return self.kind.patch

    @property
    def windows(self) -> bool:
        return bool(self.spec.peek("os", "name") == "windows")

    @property
    def user_namespace(self) -> bool:
        """Whether root inside is nobody outside; restricted relaxes for such pods from Kubernetes 1.35."""
        return self.spec.peek("hostUsers") is False

    @property
    def containers(self) -> tuple[Container | HiddenError, ...]:
        """Init, ordinary and ephemeral containers; an error in place of each that is hidden."""
        if self._containers is None:
            self._containers = tuple(self._find())
        return self._containers

    def _find(self) -> Iterator[Container | HiddenError]:
        for list_name in CONTAINER_LISTS:
            try:
                for node in self.spec.get(list_name).each():
                    try:
                        yield Container(node, list_name)
                    except HiddenError as error:
                        yield error
            except HiddenError as error:
                yield error


def pods_of(kind: Kind, root: Node) -> tuple[Pod, ...]:
    """The pod templates below ``root``. Raises ``HiddenError`` where a workload's is hidden."""
    where = _WORKLOADS.get((kind.group, kind.name))
    if where is not None:
        return (Pod(kind, root.get(*where)),)
    if kind.custom:
        return tuple(Pod(kind, node) for node in _embedded(root))
    return ()


def _embedded(root: Node) -> Iterator[Node]:
    """Pod templates that a custom resource holds anywhere: Rollouts, Knative services, job queues."""
    pending = [root]
    while pending:
        node = pending.pop()
        value = node.value
        if isinstance(value, dict):
            if isinstance(value.get("spec"), dict) and isinstance(value["spec"].get("containers"), list):
                yield node
                continue
            pending.extend(_below(node, value.items()))
        elif isinstance(value, list):
            pending.extend(_below(node, enumerate(value)))


def _below(node: Node, entries: Any) -> list[Node]:
    return [
        Node(child, node, key if isinstance(key, int) else str(key))
        for key, child in entries
        if isinstance(child, dict | list)
    ]
