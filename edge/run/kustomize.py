"""What Flux would apply of a folder: manifests as they are written, and what a real `kustomize` renders.

Judges nothing. What cannot be read or rendered is a problem, and never left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from policies.manifests import KUSTOMIZATIONS, SUFFIXES, Manifests, of_documents, read_file, together

_ORIGIN = "config.kubernetes.io/origin"
_WRAPPER = "buildMetadata: [originAnnotations]\nresources: [{}]\n"
"""Renders a folder unchanged, and says of each object which file it is from."""
_IGNORED = (".git", ".github", ".circleci", ".sops.yaml", ".flux.yaml", ".travis.yml", ".gitlab-ci.yml", ".drone.yml")
"""What Flux never takes from a repository for a manifest."""
_LIMIT_S = 120
_LOG_PREFIX = re.compile(r'^(?:E\d{4} .*? err="|Error: )')


def manifests(path: Path) -> Manifests:
    """The objects of a file or a folder.

    A folder with a kustomization is rendered. One without is read as Flux reads it: all manifests in it and below it,
    where a folder with a kustomization is rendered in place of its files.
    """
    if path.name in KUSTOMIZATIONS and path.is_file():
        return _rendered(path.parent)
    if path.is_file():
        return read_file(path)
    if not path.is_dir():
        return Manifests((), (f"{path}: no such file or folder",))
    found = list(_below(path))
    if not found:
        return Manifests((), (f"{path}: holds no manifest: no file of it ends with {', '.join(SUFFIXES)}",))
    return together(found)


def _below(folder: Path) -> Iterator[Manifests]:
    if any((folder / name).is_file() for name in KUSTOMIZATIONS):
        yield _rendered(folder)
        return
    for entry in sorted(folder.iterdir()):
        if entry.name in _IGNORED:
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _below(entry)
        elif entry.suffix in SUFFIXES:
            yield read_file(entry)


def _rendered(folder: Path) -> Manifests:
    program = _program()
    if program is None:
        reason = "has a kustomization, and neither kustomize nor kubectl is on PATH: install one of them, or pass its"
        return Manifests((), (f"{folder}: {reason} output: `kustomize build {folder} | edge check --manifests -`",))
    with tempfile.TemporaryDirectory(prefix="edge-kustomize-") as temporary:
        wrapper = Path(temporary).resolve()
        # Kustomize takes no absolute path.
        there = os.path.relpath(folder.resolve(), wrapper)
        (wrapper / KUSTOMIZATIONS[0]).write_text(_WRAPPER.format(yaml.safe_dump(there).splitlines()[0]))
        try:
            done = subprocess.run(
                [*program, str(wrapper)], capture_output=True, text=True, check=False, timeout=_LIMIT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Manifests((), (f"{folder}: {program[0]} did not render it ({type(error).__name__})",))
        if done.returncode:
            said = _LOG_PREFIX.sub("", (done.stderr.strip() or "no reason given").splitlines()[-1])
            return Manifests((), (f"{folder}: {Path(program[0]).name} does not render it: {said}",))
        documents = list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))
        return _of_rendered(documents, folder, wrapper)


def _program() -> list[str] | None:
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    return None


def _of_rendered(documents: list[Any], folder: Path, wrapper: Path) -> Manifests:
    """Each object with the file that it is from, where that is a file here."""
    files = [_origin(document, folder, wrapper) for document in documents]
    found = of_documents(documents, str(folder))
    # One for each document: what Kustomize writes is an object.
    sources = {
        resource.urn: replace(found.sources[resource.urn], file=file)
        for resource, file in zip(found.resources, files, strict=True)
    }
    return Manifests(found.resources, found.problems, sources)


def _origin(document: dict[str, Any], folder: Path, wrapper: Path) -> str:
    """The file of an object, whose annotation about it is taken away: it is none of the user's."""
    metadata = document.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    told = yaml.safe_load(annotations.pop(_ORIGIN, "") or "{}")
    if not annotations:
        metadata.pop("annotations", None)
    told = told if isinstance(told, Mapping) else {}
    named = told.get("path") or told.get("configuredIn")
    if not named or told.get("repo"):
        return str(folder)
    # As the user has named the folder: relative paths stay relative.
    return os.path.normpath(folder / os.path.relpath(wrapper / str(named), folder.resolve()))
