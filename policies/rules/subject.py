"""What a rule looks at: one Kubernetes object, component or provider resource, taken out of its list.

Judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.rules.chart_records import Verdict
from policies.rules.charts import Chart, chart_of, verdict_of
from policies.rules.embedded import Found, find, may_hold_manifests
from policies.rules.kinds import Kind, kind_of, manifest_token
from policies.rules.model import HiddenError, Resource, Settings
from policies.rules.pods import Pod
from policies.rules.tree import Node, path_steps


class Subject:
    """One object to judge. What it holds is found once, for all rules."""

    __slots__ = ("_held", "kind", "resource", "root", "settings")

    def __init__(self, resource: Resource, kind: Kind, root: Node, settings: Settings) -> None:
        self.resource = resource
        self.kind = kind
        self.root = root
        self.settings = settings
        self._held: Found | HiddenError | None = None

    def get(self, *keys: str) -> Node:
        return self.root.get(*keys)

    @property
    def held(self) -> Found:
        """The pods, images and manifests in the object. Raises ``HiddenError`` when they are hidden."""
        if self._held is None:
            try:
                self._held = find(self.kind, self.root)
            except HiddenError as error:
                self._held = error
        if isinstance(self._held, HiddenError):
            raise HiddenError(self._held.path, self._held.reason)
        return self._held

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The pods in the object. Raises ``HiddenError`` when they are hidden."""
        return self.held.pods

    @property
    def images(self) -> tuple[Node, ...]:
        """Images that are named outside of a container: in a custom resource, or by the record of a chart."""
        recorded = self.verdict
        chart = Node(None, None, "chart")
        return (*self.held.images, *(Node(image, chart, image) for image in (recorded.images if recorded else ())))

    def each_image(self) -> Iterator[Node | HiddenError]:
        """Every image: of containers, mounted as a volume, or named alone; an error in place of each that is hidden."""
        try:
            pods, alone = self.pods, self.images
        except HiddenError as error:
            yield error
            return
        for pod in pods:
            for container in pod.containers:
                if isinstance(container, HiddenError):
                    yield container
                elif not container.patch or container.node.get("image").present:
                    yield container.node.get("image")
            if not pod.loose:
                yield from _mounted(pod)
        yield from alone

    @property
    def image_names(self) -> tuple[str, ...]:
        """Every image whose name can be seen."""
        nodes = (node for node in self.each_image() if not isinstance(node, HiddenError))
        return tuple(node.value for node in nodes if isinstance(node.value, str))

    @property
    def chart(self) -> Chart | None:
        """The chart that it installs. Raises ``HiddenError``."""
        return chart_of(self.kind, self.root)

    @property
    def verdict(self) -> Verdict | None:
        """What the record says of its chart."""
        try:
            chart = self.chart
        except HiddenError:
            return None
        return None if chart is None else verdict_of(chart, self.settings)

    @property
    def workload(self) -> str:
        """`namespace/Kind/name` of a Kubernetes object; empty for anything else."""
        if not self.kind.kubernetes:
            return ""
        namespace, name = (self.root.peek("metadata", key) for key in ("namespace", "name"))
        return "/".join(part if isinstance(part, str) else "" for part in (namespace, self.kind.name, name))

    def images_at(self, path: str) -> tuple[str, ...]:
        """The image of the container that holds the property ``path``; all images of the object for any other one."""
        value: Any = self.resource.props
        image = None
        for step in path_steps(path):
            value = _entry(value, step)
            found = value.get("image") if isinstance(value, dict) else None
            # Of a volume that is an image.
            found = found.get("reference") if isinstance(found, dict) else found
            image = found if isinstance(found, str) else image
        if image is not None:
            return (image,)
        try:
            containers = [container for pod in self.pods for container in pod.containers]
        except HiddenError:
            return ()
        texts = ("" if isinstance(one, HiddenError) else one.node.peek("image") for one in containers)
        # One that is hidden has no digest that a waiver could name.
        return tuple(text if isinstance(text, str) else "" for text in texts)

    def marked_secret(self, path: str) -> bool | None:
        """Whether ``path`` or something around it is marked as secret; None where that cannot be told."""
        marked = self.resource.secret_paths
        if marked is None:
            return None
        return any(path == secret or path.startswith((f"{secret}.", f"{secret}[")) for secret in marked)


def _mounted(pod: Pod) -> Iterator[Node | HiddenError]:
    """Images that a pod mounts as volumes."""
    try:
        for volume in pod.each_volume():
            if volume.get("image").present:
                yield volume.get("image", "reference")
    except HiddenError as error:
        yield error


def _entry(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return value[step] if isinstance(value, list) and step < len(value) else None
    return value.get(step) if isinstance(value, dict) else None


def subjects(resource: Resource, settings: Settings) -> Iterator[Subject]:
    """The objects in ``resource``: itself or each item of a list type, and the manifests in them."""
    props = resource.props if isinstance(resource.props, dict) else dict(resource.props)
    yield from _unfold(resource, kind_of(resource.type), Node(props), settings)


def _unfold(resource: Resource, kind: Kind, root: Node, settings: Settings) -> Iterator[Subject]:
    is_list = kind.provider == "kubernetes" and kind.name.endswith("List")
    if not (is_list and isinstance(root.value, dict) and root.value.get("items") is not None):
        subject = Subject(resource, kind, root, settings)
        yield subject
        if may_hold_manifests(kind):
            for manifest in subject.held.manifests:
                yield from _unfold(resource, manifest.kind, manifest.root, settings)
        return
    name = kind.name.removesuffix("List")
    items = root.get("items")
    if not isinstance(items.value, list):
        # Nothing of the list can be seen. A list of any kind may hold pods, so it is judged as one that does.
        yield Subject(resource, kind._replace(name=name or "Pod"), items, settings)
        return
    for item in items.each():
        yield from _unfold(resource, _item_kind(kind, name, item.value), item, settings)


def _item_kind(of_list: Kind, name: str, item: Any) -> Kind:
    """The kind of a list's item: a typed list decides for its items, a plain ``List`` asks each of them."""
    if name:
        return of_list._replace(name=name)
    if isinstance(item, dict):
        api_version, kind = item.get("apiVersion"), item.get("kind")
        if isinstance(api_version, str) and isinstance(kind, str):
            return kind_of(manifest_token(api_version, kind))
    return of_list._replace(group="core", name="Pod")
