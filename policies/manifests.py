"""Rendered Kubernetes manifests as the rules see them: what Flux applies never passes through Pulumi.

Reads files and text; renders nothing. A file that cannot be read, or a document that is not a Kubernetes object, is
reported as a problem and never skipped. What is read together is one stack for the rules that look at whole stacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from policies.rules import Resource
from policies.rules.kinds import manifest_token
from policies.rules.tree import path_steps

SUFFIXES = (".yaml", ".yml", ".json")
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""Instructions for a renderer; what they render is what counts."""

_MOST_VALUES = 1_000_000
"""More values than this in one document are not a manifest: aliases of aliases multiply without end."""


class Place(NamedTuple):
    """Where something is written; line and column count from 1, and are 0 where they are not known."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Source:
    """Where one object is written."""

    file: str
    node: yaml.Node | None = None
    """The document, with the position of each value; None where the object was rendered."""

    def place(self, path: str = "") -> Place:
        """Where the property ``path`` is written, or as much of it as there is."""
        if self.node is None:
            return Place(self.file)
        node = self.node
        mark = node.start_mark
        for step in path_steps(path):
            below = _below(node, step)
            if below is None:
                break
            mark, node = below
        return Place(self.file, mark.line + 1, mark.column + 1)


@dataclass(frozen=True)
class Manifests:
    """What was found, and what could not be read: ``file:line: reason``."""

    resources: tuple[Resource, ...]
    problems: tuple[str, ...]
    sources: Mapping[str, Source] = field(default_factory=dict)
    """By URN, where each object is written."""

    def place(self, urn: str, path: str = "") -> Place | None:
        """Where a finding's property is written; None where its object is not one of these."""
        source = self.sources.get(urn)
        return source.place(path) if source else None


def together(parts: Iterable[Manifests]) -> Manifests:
    """All of ``parts`` as one stack."""
    parts = list(parts)
    return Manifests(
        tuple(resource for part in parts for resource in part.resources),
        tuple(problem for part in parts for problem in part.problems),
        {urn: source for part in parts for urn, source in part.sources.items()},
    )


def read(path: Path) -> Manifests:
    """The objects of a file, or of all YAML and JSON files below a folder."""
    if not path.exists():
        return Manifests((), (f"{path}: no such file or folder",))
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
    return together(read_file(file) for file in files if file == path or file.name not in KUSTOMIZATIONS)


def read_file(file: Path) -> Manifests:
    """The objects of one file."""
    try:
        return of_text(file.read_text(encoding="utf-8-sig"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        return Manifests((), (f"{file}: cannot be read ({type(error).__name__})",))


def of_text(text: str, origin: str) -> Manifests:
    """The objects of a text with YAML or JSON documents; ``origin`` says where it comes from."""
    loader = yaml.CSafeLoader(text)
    found: list[Manifests] = []
    seen: dict[str, int] = {}
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            if wrong := next(_unusable(node), None):
                line, reason = wrong
                found.append(Manifests((), (f"{origin}:{line}: {reason}",)))
            else:
                found.append(_of_document(loader.construct_document(node), origin, Source(origin, node), seen))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        found.append(Manifests((), (f"{origin}:{line}: not YAML: {error.problem}",)))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        found.append(Manifests((), (f"{origin}: cannot be read ({type(error).__name__})",)))
    finally:
        loader.dispose()
    return together(found)


def of_documents(documents: Iterable[Any], origin: str) -> Manifests:
    """Kubernetes objects as resources; ``origin`` says where they come from. Empty documents are none."""
    seen: dict[str, int] = {}
    return together(_of_document(document, origin, Source(origin), seen) for document in documents)


def _of_document(document: Any, origin: str, source: Source, seen: dict[str, int]) -> Manifests:
    """``seen`` counts the objects of this origin by URN: two of one name are two objects to judge."""
    if document is None:
        return Manifests((), ())
    resource = _resource(document, origin, seen) if isinstance(document, dict) else None
    if resource is None:
        return Manifests((), (f"{source.place()}: is no Kubernetes object: it has no apiVersion and kind",))
    return Manifests((resource,), (), {resource.urn: source})


def _resource(document: Mapping[str, Any], origin: str, seen: dict[str, int]) -> Resource | None:
    api_version, kind = document.get("apiVersion"), document.get("kind")
    if not (isinstance(api_version, str) and isinstance(kind, str) and api_version and kind):
        return None
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = "/".join(str(part) for part in (metadata.get("namespace"), metadata.get("name")) if part)
    urn = f"{origin}#{kind}/{name}"
    seen[urn] = count = seen.get(urn, 0) + 1
    return Resource(
        type=manifest_token(api_version, kind),
        name=name,
        urn=urn if count == 1 else f"{urn}#{count}",
        props=document,
        # Nothing is marked as secret in a file: what is not encrypted is plain text.
        secret_paths=frozenset(),
    )


def _unusable(document: yaml.Node) -> Iterator[tuple[int, str]]:
    """Lines with what no renderer and no API server would take, or what would never come to an end here."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_:
            raise _Endless(node.start_mark.line + 1)
        open_.add(id(node))
        below: Iterable[yaml.Node] = ()
        if isinstance(node, yaml.MappingNode):
            below = [value for pair in node.value for value in pair]
        elif isinstance(node, yaml.SequenceNode):
            below = node.value
        sizes[id(node)] = total = 1 + sum(map(size, below))
        open_.discard(id(node))
        return total

    try:
        if size(document) > _MOST_VALUES:
            yield document.start_mark.line + 1, f"its aliases make more than {_MOST_VALUES} values of it"
            return
    except _Endless as error:
        yield error.line, "an alias refers to what it is a part of"
        return
    yield from _keys_twice(document)


class _Endless(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def _keys_twice(document: yaml.Node) -> Iterator[tuple[int, str]]:
    """YAML forbids a key twice. Readers differ in which of the two counts, so nobody can judge such an object."""
    pending, visited = [document], set()
    while pending:
        node = pending.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, yaml.MappingNode):
            names: set[tuple[str, str]] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if (key.tag, key.value) in names:
                        yield key.start_mark.line + 1, f"the key `{key.value}` is there twice"
                    names.add((key.tag, key.value))
                pending.append(value)
        elif isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)


def _below(node: yaml.Node, step: str | int) -> tuple[yaml.Mark, yaml.Node] | None:
    """Where an entry of a mapping or a sequence is written, and its value."""
    if isinstance(node, yaml.MappingNode):
        found = [(key.start_mark, value) for key, value in node.value if key.value == str(step)]
        return found[-1] if found else None
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark, node.value[step]
    return None
