"""Pods and containers as rules see them, and where the built-in workload kinds keep them.

What other objects hold is found by ``embedded``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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
GROUP_OF: Mapping[str, str] = {name: group for group, name in reversed(_WORKLOADS)}
"""The API group of a workload kind, where only its name is given."""


def is_workload(kind: Kind) -> bool:
    """Whether a built-in kind runs pods."""
    return kind.provider == "kubernetes" and (kind.group, kind.name) in _WORKLOADS


def may_hold_pods(kind: Kind) -> bool:
    """Whether an object of this kind may hold pods: workloads, custom resources, and the values of a chart."""
    return is_workload(kind) or kind.custom or kind.is_a("helm.sh", "Release", "Chart")


def pod_template(kind: Kind, root: Node) -> Node | None:
    """Where a workload keeps its pod template; None for any other kind. Raises ``HiddenError``."""
    where = _WORKLOADS.get((kind.group, kind.name))
    return root.get(*where) if where is not None else None


class Container:
    """A container of any list, or one that stands alone in a custom resource."""

    __slots__ = ("list_name", "node", "patch", "security")

    def __init__(self, node: Node, list_name: str, *, patch: bool = False, security: Node | None = None) -> None:
        self.node = node
        self.list_name = list_name
        self.security = node.get("securityContext") if security is None else security
        self.patch = patch
        """Whether only some fields of it are set here: an absent one is not judged."""


class Pod:
    """A pod template, or a part of one, with the kind of the object that holds it."""

    __slots__ = ("_containers", "kind", "loose", "metadata", "security", "spec", "volumes")

    def __init__(self, kind: Kind, node: Node) -> None:
        self.kind = kind
        self.metadata = node.get("metadata")
        self.spec = node.get("spec")
        self.security = self.spec.get("securityContext")
        self.volumes: Node | tuple[Node, ...] = self.spec.get("volumes")
        self.loose = False
        """Whether it is a part of a custom resource from which a controller makes the pod."""
        self._containers: tuple[Container | HiddenError, ...] | None = None

    @classmethod
    def part(
        cls,
        kind: Kind,
        spec: Node,
        security: Node,
        containers: Sequence[Container | HiddenError],
        volumes: Sequence[Node] = (),
    ) -> Pod:
        """What a custom resource says of a pod somewhere else than in a pod template."""
        pod = cls(kind, Node(None))
        pod.spec, pod.security, pod.volumes = spec, security, tuple(volumes)
        pod.loose, pod._containers = True, tuple(containers)
        return pod

    @property
    def patch(self) -> bool:
        """Whether only some fields of the pod are set here: an absent one is not judged."""
        return self.kind.patch or self.loose

    @property
    def runs(self) -> bool:
        """Whether a pod is made from it, rather than a setting of one changed."""
        return not self.loose or any(isinstance(one, HiddenError) or not one.patch for one in self.containers)

    @property
    def windows(self) -> bool:
        return not self.loose and bool(self.spec.peek("os", "name") == "windows")

    @property
    def user_namespace(self) -> bool:
        """Whether root inside is nobody outside; restricted relaxes for such pods from Kubernetes 1.35."""
        return not self.loose and self.spec.peek("hostUsers") is False

    @property
    def containers(self) -> tuple[Container | HiddenError, ...]:
        """Init, ordinary and ephemeral containers; an error in place of each that is hidden."""
        if self._containers is None:
            self._containers = tuple(containers_of(self.spec, patch=self.kind.patch))
        return self._containers

    def each_volume(self) -> Iterator[Node]:
        """The volumes. Raises ``HiddenError`` where they are hidden."""
        yield from self.volumes if isinstance(self.volumes, tuple) else self.volumes.each()


def containers_of(spec: Node, *, patch: bool) -> Iterator[Container | HiddenError]:
    """The containers in the three lists of a pod's spec.

    ``patch``: a container without an image only changes one that exists; one with an image counts as new.
    """
    for list_name in CONTAINER_LISTS:
        try:
            for node in spec.get(list_name).each():
                try:
                    yield Container(node, list_name, patch=patch and not node.get("image").present)
                except HiddenError as error:
                    yield error
        except HiddenError as error:
            yield error
