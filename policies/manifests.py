"""Rendered Kubernetes manifests as the rules see them: what Flux applies never passes through Pulumi.

Reads files; renders nothing. A file that cannot be read, or a document that is not a Kubernetes object, is reported as
a problem and never skipped. What is read together is one stack for the rules that look at whole stacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from policies.rules import Resource
from policies.rules.kinds import manifest_token

_SUFFIXES = (".yaml", ".yml", ".json")
_NO_OBJECTS = frozenset(("kustomization.yaml", "kustomization.yml"))
"""Instructions for a renderer; what they render is what counts."""


@dataclass(frozen=True)
class Manifests:
    """What was found, and what could not be read: ``file:line: reason``."""

    resources: tuple[Resource, ...]
    problems: tuple[str, ...]


def read(path: Path) -> Manifests:
    """The objects of a file, or of all YAML and JSON files below a folder."""
    if not path.exists():
        return Manifests((), (f"{path}: no such file or folder",))
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES)
    resources: list[Resource] = []
    problems: list[str] = []
    for file in files:
        if file.name in _NO_OBJECTS and file != path:
            continue
        try:
            with file.open(encoding="utf-8-sig") as stream:
                found = of_documents(yaml.load_all(stream, Loader=yaml.CSafeLoader), str(file))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            problems.append(f"{file}:{line}: not YAML: {error.problem}")
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            problems.append(f"{file}: cannot be read ({type(error).__name__})")
        else:
            resources += found.resources
            problems += found.problems
    return Manifests(tuple(resources), tuple(problems))


def of_documents(documents: Iterable[Any], origin: str) -> Manifests:
    """Kubernetes objects as resources; ``origin`` says where they come from. Empty documents are none."""
    resources, problems = [], []
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        resource = _resource(document, origin) if isinstance(document, dict) else None
        if resource is None:
            problems.append(f"{origin}: document {number} is no Kubernetes object: it has no apiVersion and kind")
        else:
            resources.append(resource)
    return Manifests(tuple(resources), tuple(problems))


def _resource(document: Mapping[str, Any], origin: str) -> Resource | None:
    api_version, kind = document.get("apiVersion"), document.get("kind")
    if not (isinstance(api_version, str) and isinstance(kind, str) and api_version and kind):
        return None
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = "/".join(str(part) for part in (metadata.get("namespace"), metadata.get("name")) if part)
    return Resource(
        type=manifest_token(api_version, kind),
        name=name,
        urn=f"{origin}#{kind}/{name}",
        props=document,
        # Nothing is marked as secret in a file: what is not encrypted is plain text.
        secret_paths=frozenset(),
    )
