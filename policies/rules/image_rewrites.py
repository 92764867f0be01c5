"""What makes a cluster pull another image than the one that is named: images of a kustomization, of Argo CD and of
Flux' image automation, registries of Flux and K3s, annotations for proxies beside a workload.

Patches are judged as the objects that they change (``embedded``), mirrors on hosts by ``image_mirrors``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from policies.rules.frameworks import cis_kubernetes, top_ten
from policies.rules.image_mirrors import ELSEWHERE, K3S_FLAGS, argument
from policies.rules.images import is_allowed, is_digest, parse_image
from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Violation
from policies.rules.pods import may_hold_pods
from policies.rules.rule import Rule, attempt
from policies.rules.subject import Subject
from policies.rules.tree import Node

_APPLIED = "kustomize.toolkit.fluxcd.io"
_BUILT = "kustomize.config.k8s.io"
_RELEASES = "helm.toolkit.fluxcd.io"
_OPERATOR = "fluxcd.controlplane.io"
_ARGO = "argoproj.io"
_SCANNED = "image.toolkit.fluxcd.io"

_ANNOTATIONS: Mapping[str, bool] = {
    "sidecar.istio.io/proxyImage": True,
    "config.linkerd.io/proxy-image": False,
    "config.linkerd.io/init-image": False,
    "config.linkerd.io/debug-image": False,
}
"""Annotations that name the image of a proxy, and whether they hold its digest: Linkerd adds a tag of its own."""


def _image_rewrite(subject: Subject) -> Iterator[Violation]:
    kind, allowed = subject.kind, subject.settings.registries
    if kind.is_a(_APPLIED, "Kustomization"):
        yield from _entries(subject.get("spec", "images"), allowed)
    elif kind.is_a(_BUILT, "Kustomization", "Component"):
        yield from _entries(subject.get("images"), allowed)
    elif kind.is_a(_ARGO, "Application", "ApplicationSet"):
        for source in _argo_sources(subject.root):
            for image in source.get("kustomize", "images").each():
                yield from attempt(_of_argo(image, allowed))
    elif kind.is_a(_SCANNED, "ImageRepository"):
        yield from _named(subject.get("spec", "image"), allowed)
    elif kind.is_a(_SCANNED, "ImagePolicy"):
        digest = subject.get("spec", "digestReflectionPolicy")
        if digest.text() not in ("Always", "IfNotPresent") and (digest.present or not kind.patch):
            yield Violation(digest.path, "is neither Always nor IfNotPresent: Flux writes a tag without its digest")
    elif kind.is_a(_OPERATOR, "FluxInstance"):
        yield from _place(subject.get("spec", "distribution", "registry"), allowed)
        yield from _place(subject.get("spec", "distribution", "artifact"), allowed)
    elif kind.is_part("K3s"):
        for configuration in subject.get("configurations").each():
            yield from attempt(_of_k3s(configuration.get("config"), allowed))
        return
    elif kind.is_a(_RELEASES, "HelmRelease"):
        for one in subject.get("spec", "postRenderers").each():
            yield from attempt(_entries(one.get("kustomize", "images"), allowed))
    yield from _annotated(subject, allowed)


def _entries(images: Node, allowed: Iterable[str]) -> Iterator[Violation]:
    for entry in images.each():
        yield from attempt(_entry(entry, allowed))


def _entry(entry: Node, allowed: Iterable[str]) -> Iterator[Violation]:
    """One entry of `images`. A tag, also a part of one, takes away the digest that the image has."""
    yield from attempt(_named(entry.get("newName"), allowed))
    digest = entry.get("digest")
    if text := digest.text():
        if not is_digest(text):
            yield Violation(digest.path, "is not a sha256 digest")
        return
    for name in ("newTag", "tagSuffix"):
        if entry.get(name).present:
            yield Violation(entry.get(name).path, "takes the digest of the image away, and sets none")


def _argo_sources(root: Node) -> Iterator[Node]:
    """Each source of an Application, and of the template in an ApplicationSet; not of templates in its generators."""
    for holder in (root.get("spec"), root.get("operation", "sync"), root.get("spec", "template", "spec")):
        yield holder.get("source")
        yield from holder.get("sources").each()


def _of_argo(image: Node, allowed: Iterable[str]) -> Iterator[Violation]:
    """An image as `kustomize edit set image` takes it: `[old=]new[:tag][@digest]`."""
    before, equals, after = (image.text() or "").partition("=")
    new = parse_image(after if equals else before)
    if not is_allowed(new.repository, allowed):
        yield Violation(image.path, ELSEWHERE)
    if not new.pinned and (new.tag or new.digest or not equals):
        yield Violation(image.path, "takes the digest of the image away, and sets none")


def _named(name: Node, allowed: Iterable[str]) -> Iterator[Violation]:
    if (text := name.text()) and not is_allowed(parse_image(text).repository, allowed):
        yield Violation(name.path, ELSEWHERE)


def _place(registry: Node, allowed: Iterable[str]) -> Iterator[Violation]:
    text = registry.text()
    if text and not is_allowed(text.removeprefix("oci://"), allowed):
        yield Violation(registry.path, ELSEWHERE)


def _of_k3s(config: Node, allowed: Iterable[str]) -> Iterator[Violation]:
    for flag in K3S_FLAGS:
        node = config.get(flag)
        for fault in argument(flag, text, allowed) if (text := node.text()) else ():
            yield Violation(node.path, fault)


def _annotated(subject: Subject, allowed: Iterable[str]) -> Iterator[Violation]:
    """Proxies that a mesh puts beside a container: the image is named by a pod, or by its namespace."""
    places = [subject.get("metadata")] if subject.kind.is_a("core", "Namespace") else []
    if may_hold_pods(subject.kind):
        # A hidden pod is refused by every rule about pods.
        with contextlib.suppress(HiddenError):
            places += [pod.metadata for pod in subject.pods if not pod.loose]
    for place in places:
        annotations = place.peek("annotations")
        for name, with_digest in _ANNOTATIONS.items() if isinstance(annotations, dict) else ():
            if name in annotations:
                yield from attempt(_proxy(place.get("annotations", name), allowed, with_digest=with_digest))


def _proxy(image: Node, allowed: Iterable[str], *, with_digest: bool) -> Iterator[Violation]:
    text = image.text()
    if not text:
        return
    yield from _named(image, allowed)
    if with_digest and not parse_image(text).pinned:
        yield Violation(image.path, "has no sha256 digest")


def _rewrites(kind: Kind) -> bool:
    return (
        may_hold_pods(kind)
        or kind.is_a(_BUILT, "Kustomization", "Component")
        or kind.is_a("core", "Namespace")
        or kind.is_part("K3s")
    )


RULES = (
    Rule(
        id="supply-chain/image-rewrite",
        level="mandatory",
        severity="high",
        title="What rewrites an image names an allowed registry, and takes no digest away.",
        why="The image in a manifest is judged where it is written. What is put in its place later would pass unseen.",
        remedy="Write `digest` beside `newTag` (Argo CD: `new:tag@sha256:...`), and a `newName` in an allowed "
        "registry; in an ImagePolicy, `digestReflectionPolicy: Always` with an `interval`. Or add the registry to "
        "`more_registries` in the pack's configuration. In a site file, `gitops.distribution.registry` says where the "
        "images of Flux are.",
        url="https://fluxcd.io/flux/components/kustomize/kustomizations/#images",
        applies=_rewrites,
        check=_image_rewrite,
        about="Kustomization, HelmRelease, FluxInstance, ImageRepository, ImagePolicy, Application and ApplicationSet "
        "of Argo CD, annotations of pods and namespaces, edge:index:K3s",
        references=(*cis_kubernetes("5.5.1"), *top_ten("K02")),
    ),
)
