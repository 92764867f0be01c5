"""Mirrors of images on a host: what scripts and copied files tell containerd and K3s to pull in the place of an image.

It is not a shell parser: it reads here-documents and arguments, and reports a finding for what it cannot read.
"""

from __future__ import annotations

import functools
import posixpath
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from policies.rules.frameworks import cis_kubernetes, top_ten
from policies.rules.images import is_allowed, parse_image
from policies.rules.kinds import Kind
from policies.rules.model import Violation
from policies.rules.rule import Rule, attempt
from policies.rules.scripts import lines_with, logical_lines, plain
from policies.rules.subject import Subject
from policies.rules.tree import Node

ELSEWHERE = "names a registry, or a part of one, that is not allowed"
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
K3S_FLAGS = ("system-default-registry", "pause-image", "private-registry")
_FLAG = re.compile(
    rf"(?:^|[\s\"'-]|\bK3S_)({'|'.join(K3S_FLAGS)}|SYSTEM_DEFAULT_REGISTRY)[\"']?(?:=|\s*:\s*|\s+)[\"']?([\w./:@${{}}-]+)"
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
        for fault in argument("system-default-registry", text, subject.settings.registries):
            yield Violation(given.path, fault)


def _script(script: Node, allowed: tuple[str, ...]) -> Iterator[Violation]:
    for fault in _faults(script.text() or "", allowed):
        yield Violation(script.path, fault)


_NAMED = (*K3S_FLAGS, "SYSTEM_DEFAULT_REGISTRY")
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
        found += [f"gives K3s a {flag} that {fault}" for fault in argument(flag, value, allowed)]
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


def argument(flag: str, value: str, allowed: Iterable[str]) -> Iterator[str]:
    """What is wrong with an argument of K3s, or with the same key of its configuration."""
    if flag == "private-registry":
        if value != _REGISTRIES:
            yield f"is not {_REGISTRIES}, so that no rule sees the mirrors in it"
        return
    if not is_allowed(parse_image(value).repository if flag == "pause-image" else value, allowed):
        yield ELSEWHERE
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


def _sets_mirrors(kind: Kind) -> bool:
    return kind.command and kind.name in ("Command", "CopyToRemote", "CopyFile")


RULES = (
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
