"""What an object holds inside: pods and containers wherever they stand, and manifests as objects or as text.

One pass over a custom resource, whose schema nobody knows here: a container is known by its shape, or by the key under
which it stands. Judges nothing. What cannot be taken apart is reported as a violation, for the rule `opaque`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from policies.rules.embedded_keys import (
    ANY,
    HOLDERS,
    MANIFEST_KEYS,
    OF_CONTAINERS,
    OF_PODS,
    PATCH_KEYS,
    POD_SECURITY,
    REFERENCE,
    SECURITY,
    SHARED_SECURITY,
    TEMPLATED,
    TEXT_KEYS,
    UNSEEN,
    VALUES_KEYS,
)
from policies.rules.json_patch import is_json_patch, unseen, what_it_sets
from policies.rules.kinds import Kind, kind_of, manifest_token
from policies.rules.manifest_text import filled, looks_like_manifests, may_be_manifests, parsed
from policies.rules.model import UNKNOWN, HiddenError, Violation, hidden
from policies.rules.pods import CONTAINER_LISTS, GROUP_OF, Container, Pod, containers_of, pod_template
from policies.rules.tree import Node

_UNKNOWN_YET = "is not known before deployment"


_NAMES_TO_WATCH = ("image.toolkit.fluxcd.io",)
"""API groups whose `image` is a repository that is watched, and runs nowhere."""


class Manifest(NamedTuple):
    """An object inside another one, to be judged as if it stood alone."""

    kind: Kind
    root: Node


class Found(NamedTuple):
    """What an object holds."""

    pods: tuple[Pod, ...] = ()
    images: tuple[Node, ...] = ()
    """Images that are named outside of a container."""
    manifests: tuple[Manifest, ...] = ()
    opaque: tuple[Violation, ...] = ()


NOTHING = Found()


def may_hold_manifests(kind: Kind) -> bool:
    """Whether an object of this kind may hold others."""
    if kind.provider != "kubernetes":
        return False
    return kind.custom or kind.is_a("core", "ConfigMap", "Secret") or kind.group in ("yaml", "helm.sh", "kustomize")


def find(kind: Kind, root: Node) -> Found:
    """What ``root`` holds. Raises ``HiddenError`` where a workload's pod template is hidden."""
    template = pod_template(kind, root)
    if template is not None:
        return Found(pods=(Pod(kind, template),))
    if not may_hold_manifests(kind) or not isinstance(root.value, dict) or kind.group in _NAMES_TO_WATCH:
        return NOTHING
    walk = _Walk(kind)
    if kind.is_a("core", "ConfigMap", "Secret"):
        walk.texts_of(root)
    else:
        walk.over(root)
    return walk.found()


class _Walk:
    """One pass over one object."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.mark = TEMPLATED.get(kind.group, "{{")
        self.pods: list[Pod] = []
        self.images: list[Node] = []
        self.manifests: list[Manifest] = []
        self.opaque: list[Violation] = []
        self.claimed: set[int] = set()
        """Containers that are judged as a part of a pod, by identity."""

    def found(self) -> Found:
        return Found(tuple(self.pods), tuple(self.images), tuple(self.manifests), tuple(self.opaque))

    def texts_of(self, root: Node) -> None:
        """A ConfigMap or a Secret: manifests in its texts, and nothing else."""
        for name, encoded in (("data", self.kind.name == "Secret"), ("binaryData", True), ("stringData", False)):
            values = root.value.get(name)
            for key, value in values.items() if isinstance(values, dict) else ():
                text = _decoded(value) if encoded and isinstance(value, str) else value
                if isinstance(text, str) and may_be_manifests(text):
                    self._documents(Node(value, root.get(name), str(key)), text, only_manifests=True)

    def over(self, root: Node, *, values: bool = False) -> None:
        """Everything below ``root``; ``values``: it is a chart's values."""
        if root.value is UNKNOWN:
            self._hidden(root)
            return
        pending = [(root, values or self.kind.group == "helm.sh")]
        while pending:
            node, values = pending.pop()
            entries: Any = node.value.items() if isinstance(node.value, dict) else enumerate(node.value)
            if isinstance(node.value, dict):
                self._object(node, values=values)
            for key, child in entries:
                below = Node(child, node, key if isinstance(key, int) else str(key))
                if node is root and key in ("metadata", "status", "apiVersion", "kind"):
                    continue
                if child is UNKNOWN:
                    if below.key in UNSEEN:
                        self._hidden(below)
                    elif below.key in TEXT_KEYS or (node is root and key == "spec"):
                        self.opaque.append(hidden(HiddenError(below.path, _UNKNOWN_YET)))
                elif isinstance(child, str):
                    self._text(below, child, values=values)
                elif isinstance(child, dict) and _is_manifest(child):
                    self._manifest(below)
                elif is_json_patch(child):
                    self._json_patch(below, child, node)
                elif isinstance(child, dict | list):
                    pending.append((below, values or below.key in VALUES_KEYS))

    def _hidden(self, node: Node) -> None:
        error = HiddenError(node.path, _UNKNOWN_YET)
        self.pods.append(Pod.part(self.kind, Node(None), Node(None), (error,)))

    def _object(self, node: Node, *, values: bool) -> None:
        """What one object says of pods: a template, a list of containers, a container, or settings of one."""
        value: dict[str, Any] = node.value
        spec = value.get("spec")
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list) and not values:
            self.pods.append(Pod(self.kind, node))
            self._claim(spec)
            self.claimed.add(id(spec))
        volumes = list(_volumes(node))
        if id(value) in self.claimed:
            return
        listed = any(name in value and _is_list(value[name]) for name in CONTAINER_LISTS)
        of_pod = any(_sets(value.get(name), values=values) for name in OF_PODS)
        containers: list[Container | HiddenError] = []
        if listed:
            # Without an image it only changes a container that something else describes.
            containers += containers_of(_only(node, CONTAINER_LISTS, values=values), patch=True)
            self._claim(value)
        alone = list(self._alone(node, values=values))
        containers += alone
        # A container's own security is none that it shares with others.
        security = _own_security(node, of_container=any(one.node.value is not None for one in alone))
        if containers or of_pod or volumes or security.present:
            spec_of = _only(node, OF_PODS, values=values)
            shared = security if security.present else _shared_security(node)
            self.pods.append(Pod.part(self.kind, spec_of, shared, containers, volumes))

    def _claim(self, spec: Mapping[str, Any]) -> None:
        for name in CONTAINER_LISTS:
            listed = spec.get(name)
            self.claimed.update(id(one) for one in listed) if isinstance(listed, list) else None

    def _alone(self, node: Node, *, values: bool) -> Iterator[Container]:
        """The object itself, where it is a container or sets the security of one."""
        value = node.value
        image = value.get("image")
        named = isinstance(image, str) or image is UNKNOWN
        if named and (node.key in HOLDERS or not OF_CONTAINERS.isdisjoint(value)):
            yield Container(_with_defaults(node), node.key, patch=values)
            return
        for key, child in value.items():
            if child is not None and isinstance(key, str) and key.lower().endswith("securitycontext"):
                if isinstance(child, dict) or child is UNKNOWN:
                    yield Container(Node(None), node.key, patch=True, security=Node(child, node, key))
            elif _is_image(key, child):
                self.images.append(Node(child, node, key))
        if isinstance(image, dict) and "reference" in image:
            self.images.append(node.get("image", "reference"))

    def _text(self, node: Node, text: str, *, values: bool) -> None:
        if node.key in PATCH_KEYS:
            self._patch(node, text)
        elif node.key in VALUES_KEYS:
            self._values(node, text)
        elif self._must_be_manifests(node) or may_be_manifests(text):
            self._documents(node, text)

    def _must_be_manifests(self, node: Node) -> bool:
        return node.key in MANIFEST_KEYS or (self.kind.group == "yaml" and node.key in ("yaml", "objs"))

    def _documents(self, node: Node, text: str, *, only_manifests: bool = False) -> None:
        found = parsed(text, self.mark)
        if found.problem and (looks_like_manifests(text) or self._must_be_manifests(node)):
            self._opaque(node, found.problem)
        for number, document in enumerate(found.documents):
            below = Node(document, node, number)
            if isinstance(document, dict) and _is_manifest(document):
                self._manifest(below, text=True)
            elif isinstance(document, dict | list):
                inside = _Walk(self.kind)
                inside.over(below)
                self._take(inside, only_manifests=only_manifests)
            elif document is UNKNOWN:
                self._opaque(node, "is a template that decides more than values")

    def _values(self, node: Node, text: str) -> None:
        found = parsed(text, "{{")
        if found.problem:
            self._opaque(node, found.problem)
        for document in found.documents:
            if isinstance(document, dict | list):
                inside = _Walk(self.kind)
                inside.over(Node(document, node, 0), values=True)
                self._take(inside)
            elif document is not None:
                self._opaque(node, "is no object of values")

    def _take(self, inside: _Walk, *, only_manifests: bool = False) -> None:
        self.manifests += inside.manifests
        self.opaque += inside.opaque
        if not only_manifests:
            self.pods += inside.pods
            self.images += inside.images

    def _patch(self, node: Node, text: str) -> None:
        """A patch as text: of operations, or a part of an object to merge."""
        found = parsed(text, self.mark)
        if found.problem:
            self._opaque(node, found.problem)
        around = node.parent
        for number, document in enumerate(found.documents):
            below = Node(document, node, number)
            if is_json_patch(document) and around is not None:
                self._json_patch(below, document, around)
            elif isinstance(document, dict):
                api_version, name = document.get("apiVersion"), document.get("kind")
                if isinstance(api_version, str) and isinstance(name, str):
                    kind = kind_of(manifest_token(api_version, name))
                else:
                    kind = _target(around) if node.key == "patch" else kind_of(ANY)
                self.manifests.append(Manifest(kind._replace(patch=True), below))
            elif document is not None:
                self._opaque(node, "is no patch")

    def _json_patch(self, node: Node, operations: list[dict[str, Any]], around: Node) -> None:
        if unseen(operations):
            self._opaque(node, "is a patch that takes from elsewhere what it sets")
        kind = _target(around)._replace(patch=True)
        self.manifests.append(Manifest(kind, node.holding(filled(what_it_sets(operations), self.mark))))

    def _manifest(self, node: Node, *, text: bool = False) -> None:
        api_version, name = node.value["apiVersion"], node.value["kind"]
        if not isinstance(api_version, str) or not isinstance(name, str) or self.mark in api_version + name:
            self._opaque(node, "is an object of a kind that nobody knows yet")
            return
        kind = kind_of(manifest_token(api_version, name))
        if node.key in PATCH_KEYS:
            kind = kind._replace(patch=True)
        root = node if text else node.holding(filled(node.value, self.mark))
        self.manifests.append(Manifest(kind, root))

    def _opaque(self, node: Node, why: str) -> None:
        self.opaque.append(Violation(node.path, f"{why}, so what it installs cannot be judged"))


def _is_manifest(value: Mapping[Any, Any]) -> bool:
    if value.get("apiVersion") is None or value.get("kind") is None:
        return False
    return any(key not in REFERENCE for key in value)


def _is_list(value: Any) -> bool:
    return value is UNKNOWN or (
        isinstance(value, list) and any(isinstance(one, dict) or one is UNKNOWN for one in value)
    )


def _sets(value: Any, *, values: bool) -> bool:
    """Whether a field of a pod is set here. A chart's values may call something else by the same name."""
    return value is UNKNOWN or isinstance(value, bool if values else bool | str | int | float | list | dict)


def _only(node: Node, names: tuple[str, ...], *, values: bool) -> Node:
    """``node`` with nothing but some fields, where they are what they are in a pod."""
    lists = names is CONTAINER_LISTS
    kept = {
        name: node.value[name]
        for name in names
        if name in node.value and (_is_list(node.value[name]) if lists else _sets(node.value[name], values=values))
    }
    return node.holding(kept)


def _volumes(node: Node) -> Iterator[Node]:
    """Volumes below ``node``: elements of a list of them, and objects that name a path of the host."""
    for key, child in node.value.items():
        if isinstance(key, str) and key.endswith("olumes"):
            if child is UNKNOWN:
                yield Node(child, node, key)
            elif isinstance(child, list):
                yield from (
                    Node(one, Node(child, node, key), place) for place, one in enumerate(child) if one is UNKNOWN
                )
        elif key in ("hostPath", "hostDisk") and (child is UNKNOWN or isinstance(child, dict)):
            yield node.holding({key: child})


def _own_security(node: Node, *, of_container: bool) -> Node:
    for name in (POD_SECURITY,) if of_container else (POD_SECURITY, SECURITY):
        if isinstance(node.value.get(name), dict):
            return node.get(name)
    return Node(None)


def _shared_security(node: Node) -> Node:
    """What the nearest object around a container sets for all of them."""
    around = node.parent
    while around is not None:
        for keys in SHARED_SECURITY:
            if isinstance(around.peek(*keys), dict):
                return around.get(*keys)
        around = around.parent
    return Node(None)


def _with_defaults(node: Node) -> Node:
    """A step of a Tekton task, with what the task sets for all steps."""
    task = node.parent.parent if node.key == "steps" and node.parent is not None else None
    template = task.peek("stepTemplate") if task is not None else None
    return node.holding(_merged(template, node.value)) if isinstance(template, dict) else node


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    found = {**below, **above}
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            found[key] = _merged(below[key], value)
    return found


def _is_image(key: Any, value: Any) -> bool:
    if key == "image":
        return value is UNKNOWN or (isinstance(value, str) and bool(value))
    return isinstance(key, str) and key.endswith(("Image", "imageName")) and isinstance(value, str) and "/" in value


def _target(around: Node | None) -> Kind:
    """The kind that a patch names as its target; any kind where it names none."""
    name, group = (around.peek("target", key) if around is not None else None for key in ("kind", "group"))
    if not isinstance(name, str) or not name.isalnum():
        return kind_of(ANY)
    if not isinstance(group, str) or not group:
        group = GROUP_OF.get(name)
    return kind_of(f"kubernetes:{group}/v1:{name}") if group else kind_of(ANY)


def _decoded(text: str) -> str:
    """Base64 undone; nothing where it is not base64 of a text."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
