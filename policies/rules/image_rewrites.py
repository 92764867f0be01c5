"""What makes a cluster pull another image than the one that is named: images of a kustomization, registries of Flux and
K3s, annotations for proxies beside a workload, and mirrors of containerd on a host.

Patches are judged as the objects that they change (``embedded``). What cannot be read is refused.
"""

from __future__ import annotations

import contextlib
import functools
import posixpath
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from policies.rules.frameworks import cis_kubernetes, top_ten
from policies.rules.images import is_allowed, is_digest, parse_image
from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Violation
from policies.rules.pods import may_hold_pods
from policies.rules.rule import Rule, attempt
from policies.rules.scripts import lines_with, logical_lines, plain
from policies.rules.subject import Subject
from policies.rules.tree import Node

_APPLIED = "kustomize.toolkit.fluxcd.io"
_BUILT = "kustomize.config.k8s.io"
_RELEASES = "helm.toolkit.fluxcd.io"
_OPERATOR = "fluxcd.controlplane.io"
_ELSEWHERE = "names a registry, or a part of one, that is not allowed"

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


def _named(name: Node, allowed: Iterable[str]) -> Iterator[Violation]:
    if (text := name.text()) and not is_allowed(parse_image(text).repository, allowed):
        yield Violation(name.path, _ELSEWHERE)


def _place(registry: Node, allowed: Iterable[str]) -> Iterator[Violation]:
    text = registry.text()
    if text and not is_allowed(text.removeprefix("oci://"), allowed):
        yield Violation(registry.path, _ELSEWHERE)


def _of_k3s(config: Node, allowed: Iterable[str]) -> Iterator[Violation]:
    for flag in _FLAGS:
        node = config.get(flag)
        for fault in _argument(flag, text, allowed) if (text := node.text()) else ():
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


_FILES = ("registries.yaml", "hosts.toml", "config.toml.tmpl", "config-v3.toml.tmpl")
"""Files on a host from which containerd takes its mirrors."""
_FOLDERS = ("/etc/rancher", "/etc/containerd", "/var/lib/rancher/k3s/agent/etc")
"""Where they are, with those that give K3s its arguments."""
_PATH = "".join(map(chr, range(128))).translate({ord(end): None for end in "\n\t <>|;&()'\"=,"})
"""Characters of a path."""
_HERE = re.compile(r"(?<!<)<<(?!<)-?\s*(?P<quote>[\"']?)(?P<end>\w+)(?P=quote)")
_LOOKS = re.compile(
    r"\s*(?:(?:if|elif|while|until|!|sudo(?:\s+-\S+)*)\s+)*"
    r"(?:rm|test|\[{1,2}|ls|stat|cat|grep|sha256sum|diff|cmp|chmod|chown)\s"
    r"(?!.*(?:>(?!\s*/dev/null|&)|\b(?:tee|cp|mv|ln|install|dd|sed|perl|python3?|curl|wget|rsync|scp)\b))"
)
"""A line that looks at such a file, or removes it."""
_FLAGS = ("system-default-registry", "pause-image", "private-registry")
_FLAG = re.compile(
    rf"(?:^|[\s\"'-]|\bK3S_)({'|'.join(_FLAGS)}|SYSTEM_DEFAULT_REGISTRY)[\"']?(?:=|\s*:\s*|\s+)[\"']?([\w./:@${{}}-]+)"
)
_INTO = re.compile(
    rf"\b(?:cp|mv|ln|rsync|scp|tar|unzip|install(?!\s+(?:-\w+\s+)*-d))\s[^\n]*\s[\"']?(?:{'|'.join(_FOLDERS)})"
    r"(?:/k3s|/containerd)?(?:/config\.yaml\.d|/certs\.d(?:/[^\s/\"']+)?)?/?[\"']?\s*(?:$|[;&|)])"
)
"""Files that are put into one of the folders, by names that nobody sees."""
_TAGS = re.compile(r"\b(?:ctr|crictl|nerdctl|docker|podman|buildah)\s[^\n]*?\btag\s")
_REGISTRIES = "/etc/rancher/k3s/registries.yaml"
_OWN: Mapping[str, str] = {"registry-1.docker.io": "docker.io", "index.docker.io": "docker.io"}
"""Names under which a registry itself answers."""
_EVERYTHING = frozenset(("^", ".*", "^.*", "^.*$", "(.*)", "^(.*)", "^(.*)$"))


def _image_mirror(subject: Subject) -> Iterator[Violation]:
    if subject.kind.name == "Command":
        for name in ("create", "update"):
            yield from attempt(_script(subject.get(name), subject.settings.registries))
        yield from _environment(subject)
        return
    target = subject.get("remotePath")
    path = posixpath.normpath(target.text() or ".")
    inside = any(f"{path}/".startswith(f"{folder}/") for folder in _FOLDERS)
    around = any(f"{folder}/".startswith(f"{path.rstrip('/')}/") for folder in _FOLDERS)
    if path.endswith(_FILES) or inside or around:
        yield Violation(
            target.path, "puts files of mirrors, or of arguments of K3s, on the host, and no rule sees them"
        )


def _environment(subject: Subject) -> Iterator[Violation]:
    given = subject.get("environment", "K3S_SYSTEM_DEFAULT_REGISTRY")
    if text := given.text():
        for fault in _argument("system-default-registry", text, subject.settings.registries):
            yield Violation(given.path, fault)


def _script(script: Node, allowed: tuple[str, ...]) -> Iterator[Violation]:
    for fault in _faults(script.text() or "", allowed):
        yield Violation(script.path, fault)


_NAMED = (*_FLAGS, "SYSTEM_DEFAULT_REGISTRY")
_MARKERS = (*_FILES, *_FOLDERS, *_NAMED, " tag ")
"""Text without which a script has nothing to do with mirrors."""


@functools.lru_cache(maxsize=512)
def _faults(script: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """What is wrong with the mirrors that a script writes, and with the registries that it gives K3s."""
    markers = [marker for marker in _MARKERS if marker in script]
    if not markers:
        return ()
    # Most scripts only name a folder.
    named = any(marker in _NAMED for marker in markers)
    text = plain(script) if named or any(marker in _FILES for marker in markers) else ""
    found: list[str] = []
    lines = []
    inside: list[range] = []
    for document in _here_documents(text):
        found += _of_file(document.file, document.body, allowed, fixed=document.fixed)
        lines.append(document.after)
        inside.append(range(text.count("\n", 0, document.start) + 1, text.count("\n", 0, document.end) + 2))
    of_script = logical_lines(script)
    numbered = [of_script[index] for index in lines_with(markers, of_script)]
    lines += [line for number, line in numbered if not any(number in document for document in inside)]
    for line in lines:
        line = _FLAG.sub("", line) if "private-registry" in line else line
        if (any(file in line for file in _FILES) and _LOOKS.match(line) is None) or _INTO.search(line) is not None:
            found.append("may write mirrors of images that cannot be read: write them as a quoted here-document")
        if " tag " in line and _TAGS.search(line) is not None:
            found.append("gives an image on the host the name of another one")
    for flag, value in _FLAG.findall(text) if named else ():
        flag = "system-default-registry" if flag.isupper() else flag
        found += [f"gives K3s a {flag} that {fault}" for fault in _argument(flag, value, allowed)]
    return tuple(dict.fromkeys(found))


class _Document(NamedTuple):
    """A here-document that is written to a file with mirrors. ``start`` and ``end`` are around it and its line."""

    file: str
    body: str
    fixed: bool
    """Whether the shell changes nothing in it."""
    after: str
    """What else its line does."""
    start: int
    end: int


def _here_documents(text: str) -> Iterator[_Document]:
    at = 0
    while hits := [place for name in _FILES if (place := text.find(name, at)) >= 0]:
        hit = min(hits)
        start, stop = text.rfind("\n", 0, hit) + 1, text.find("\n", hit)
        stop = len(text) if stop < 0 else stop
        line, at = text[start:stop], stop
        match = _HERE.search(line)
        # A second command on the line may do anything with the file, and a comment begins nothing.
        if match is None or sum(map(line.count, _FILES)) > 1 or line.lstrip().startswith("#"):
            continue
        before = text[start:hit]
        name = next(name for name in _FILES if text.startswith(name, hit))
        closing = re.compile(rf"^\s*{match['end']}$", re.MULTILINE).search(text, stop)
        body = text[stop : closing.start() if closing else len(text)]
        at = closing.end() if closing else len(text)
        file = before[len(before.rstrip(_PATH)) :] + name
        yield _Document(file, body, bool(match["quote"]), line[match.end() :], start, at)


def _argument(flag: str, value: str, allowed: Iterable[str]) -> Iterator[str]:
    """What is wrong with an argument of K3s, or with the same key of its configuration."""
    if flag == "private-registry":
        if value != _REGISTRIES:
            yield f"is not {_REGISTRIES}, so that no rule sees the mirrors in it"
        return
    if not is_allowed(parse_image(value).repository if flag == "pause-image" else value, allowed):
        yield _ELSEWHERE
    if flag == "pause-image" and not parse_image(value).pinned:
        yield "has no sha256 digest"


def _of_file(file: str, body: str, allowed: tuple[str, ...], *, fixed: bool) -> Iterator[str]:
    try:
        if not fixed and "$" in body:
            raise ValueError("the shell decides what is written")
        if file.endswith("registries.yaml"):
            yield from _registries(yaml.load(body, Loader=yaml.CSafeLoader) or {}, allowed)
        elif file.endswith("hosts.toml"):
            folder = file.split("/")[-2:-1]
            yield from _hosts("".join(folder), tomllib.loads(body), allowed)
        else:
            raise ValueError("a template")
    except (yaml.YAMLError, ValueError, AttributeError, TypeError):
        yield "writes mirrors of images that cannot be read"


_REGISTRIES_KEYS = ("mirrors", "configs")
_HOSTS_KEYS = ("server", "host", "capabilities", "ca", "client", "skip_verify", "override_path")


def _only_keys(document: Mapping[str, Any], keys: Iterable[str]) -> None:
    """Raises ``ValueError`` for anything else: with it, a part of the script could be both a document and commands."""
    if not set(document) <= set(keys):
        raise ValueError("another key")


def _registries(document: Mapping[str, Any], allowed: tuple[str, ...]) -> Iterator[str]:
    """`registries.yaml` of K3s. Raises ``AttributeError`` or ``TypeError`` where it has another form."""
    _only_keys(document, _REGISTRIES_KEYS)
    for name, mirror in (document.get("mirrors") or {}).items():
        rewrite = (mirror or {}).get("rewrite") or {}
        for endpoint in (mirror or {}).get("endpoint") or ():
            yield from _endpoint(str(name), str(endpoint), rewrite, allowed)
    for settings in (document.get("configs") or {}).values():
        if ((settings or {}).get("tls") or {}).get("insecure_skip_verify"):
            yield "does not verify the server of a registry"


def _hosts(name: str, document: Mapping[str, Any], allowed: tuple[str, ...]) -> Iterator[str]:
    """`hosts.toml` of containerd; ``name`` is the registry that it is for."""
    _only_keys(document, _HOSTS_KEYS)
    servers = dict(document.get("host") or {})
    if server := document.get("server"):
        servers.setdefault(server, {"skip_verify": document.get("skip_verify")})
    for endpoint, settings in servers.items():
        yield from _endpoint(name, str(endpoint), settings.get("rewrite") or {}, allowed)
        if settings.get("skip_verify"):
            yield "does not verify the server of a registry"


def _endpoint(name: str, endpoint: str, rewrite: Mapping[str, Any], allowed: tuple[str, ...]) -> Iterator[str]:
    scheme, separator, address = endpoint.partition("://")
    if not separator:
        scheme, address = "https", endpoint
    if scheme != "https":
        yield f"pulls images of {name or 'a registry'} without encryption"
    place = address.rstrip("/").removesuffix("/v2").rstrip("/")
    place = _OWN.get(place, place)
    own = place == name and not rewrite
    if not own and not is_allowed(place, allowed) and not _leads_to_allowed(place, rewrite, allowed):
        yield f"pulls images of {name or 'a registry'} from a mirror, or a part of one, that is not an allowed registry"


def _leads_to_allowed(place: str, rewrite: Mapping[str, Any], allowed: tuple[str, ...]) -> bool:
    """Whether whatever is pulled ends below an allowed path: every pattern begins a name, and one takes all that is
    left."""
    texts = [(str(pattern), str(path)) for pattern, path in rewrite.items()]
    return any(pattern in _EVERYTHING for pattern, _ in texts) and all(
        (pattern.startswith("^") or pattern in _EVERYTHING)
        and "/" in path
        and is_allowed(f"{place}/{path.partition('$')[0].rpartition('/')[0]}", allowed)
        for pattern, path in texts
    )


def _rewrites(kind: Kind) -> bool:
    return (
        may_hold_pods(kind)
        or kind.is_a(_BUILT, "Kustomization", "Component")
        or kind.is_a("core", "Namespace")
        or kind.is_part("K3s")
    )


def _sets_mirrors(kind: Kind) -> bool:
    return kind.command and kind.name in ("Command", "CopyToRemote", "CopyFile")


RULES = (
    Rule(
        id="supply-chain/image-rewrite",
        level="mandatory",
        severity="high",
        title="What rewrites an image names an allowed registry, and takes no digest away.",
        why="The image in a manifest is judged where it is written. What is put in its place later would pass unseen.",
        remedy="Write `digest` beside `newTag`, and a `newName` in an allowed registry; or add the registry to "
        "`more_registries` in the pack's configuration. In a site file, `gitops.distribution.registry` says where the "
        "images of Flux are.",
        url="https://fluxcd.io/flux/components/kustomize/kustomizations/#images",
        applies=_rewrites,
        check=_image_rewrite,
        about="Kustomization, HelmRelease, FluxInstance, annotations of pods and namespaces, edge:index:K3s",
        references=(*cis_kubernetes("5.5.1"), *top_ten("K02")),
    ),
    Rule(
        id="supply-chain/image-mirror",
        level="mandatory",
        severity="high",
        title="Hosts pull images through mirrors that are allowed registries, over verified TLS.",
        why="A mirror decides what a tag stands for, and K3s pulls its own images by tag.",
        remedy="In a site file, use `endpoints` in `k3s.registries` that are allowed registries, or add the mirror to "
        "`more_registries` in the pack's configuration. In a script, write the file as a quoted here-document.",
        url="https://docs.k3s.io/installation/private-registry",
        applies=_sets_mirrors,
        check=_image_mirror,
        about="command:remote:Command, CopyToRemote, CopyFile",
        references=(*cis_kubernetes("5.5.1"), *top_ten("K02")),
    ),
)
