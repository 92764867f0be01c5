"""Everything that a site's program sends to its hosts, its cluster and its clouds, as files: what `edge render` shows.

Taken from the program itself, run in this process without an engine, so that it is what `up` would send. Every secret
is a placeholder: no setting that holds a secret is read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from components.host.component import Host
from components.shell import script_of
from edge.exit_codes import BAD_INPUT
from edge.run.difference import UNKNOWN as UNKNOWN_TEXT
from edge.run.failure import OperationError
from edge.run.program import recorded_site
from edge.run.yaml_text import as_yaml
from engine.rehearsal.in_process import UNKNOWN, Recorded, Secret

INDEX = ".edge-render"
"""Lists the files of an earlier rendering in its folder, so that the next one removes what is gone."""

_LOCAL_COMMAND = "command:local:Command"
"""Runs where the program runs."""
_COMMAND = "command:remote:Command"
_RELEASE = "kubernetes:helm.sh/v3:Release"
_NOT_SENT = ("edge:index:", "pulumi:")
_ON_HOST_ONLY = "[secret: only the host has this file's content]\n"
_FIRST_KEYS = ("apiVersion", "kind", "metadata")


def rendered(site: str, root: Path) -> dict[str, str]:
    """The content of each file by its path, in the order of the paths. ``site`` is an id or the path of a site file.

    Raises ``FileError``, and what the program raises.
    """
    hosts: list[Host] = []
    _, recording = recorded_site(site, root, built=lambda made: hosts.extend(made.hosts))
    nodes = {host.spec.address: host.node for host in hosts}
    files: dict[str, str] = {}
    for resource in recording.resources:
        files.update(_of_resource(resource, nodes))
    for host in hosts:
        files.update(_of_host(host))
    return dict(sorted(files.items()))


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write ``files`` into a new or empty ``folder``, or that of an earlier rendering. Raises ``OperationError``."""
    index = folder / INDEX
    if folder.exists() and not folder.is_dir():
        raise OperationError(f"{folder} is not a folder.", code=BAD_INPUT)
    if index.is_file():
        for name in index.read_text(encoding="utf-8").splitlines():
            _within(folder, name).unlink(missing_ok=True)
    elif folder.is_dir() and any(folder.iterdir()):
        raise OperationError(
            f"{folder} holds files that are not of `edge render`.", ("choose a new or an empty folder",), code=BAD_INPUT
        )
    for name, content in files.items():
        path = _within(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    index.write_text("".join(f"{name}\n" for name in files), encoding="utf-8")


def _within(folder: Path, name: str) -> Path:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise OperationError(f"{name} is outside of the folder to write to.", code=BAD_INPUT)
    return folder / name


def _of_resource(resource: Recorded, nodes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    inputs = {key: _plain(value) for key, value in resource.inputs.items()}
    if resource.type == _COMMAND:
        node = nodes.get(inputs["connection"]["host"], inputs["connection"]["host"])
        yield from _of_command(f"hosts/{node}/{resource.name}", inputs)
    elif resource.type == _LOCAL_COMMAND:
        yield from _of_command(f"local/{resource.name}", inputs)
    elif resource.type == _RELEASE:
        yield f"cluster/{inputs.get('namespace', 'default')}/helm.{inputs['name']}.yaml", _document(inputs)
    elif resource.type.startswith("kubernetes:"):
        metadata = inputs.get("metadata", {})
        namespace = metadata.get("namespace") or "cluster-wide"
        kind = inputs.get("kind") or resource.type.rpartition(":")[2]
        yield f"cluster/{namespace}/{kind}.{metadata.get('name', resource.name)}.yaml", _document(inputs)
    elif not resource.type.startswith(_NOT_SENT):
        package, _, kind = resource.type.partition(":")
        yield f"clouds/{package}/{kind.rpartition(':')[2]}.{resource.name}.yaml", _document(inputs)


def _of_command(folder: str, inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for when in ("create", "update", "delete"):
        if command := inputs.get(when):
            found = script_of(command)
            yield f"{folder}/{when}.sh", found[1] if found else command
    if stdin := inputs.get("stdin"):
        yield f"{folder}/stdin", "".join(f"{_decoded(line)}\n" for line in stdin.splitlines())


def _decoded(line: str) -> str:
    """A line of standard input: one secret in base64, of which only the placeholder is known."""
    try:
        return f"base64 of: {base64.b64decode(line, validate=True).decode()}"
    except (binascii.Error, UnicodeDecodeError):
        return line


def _of_host(host: Host) -> Iterator[tuple[str, str]]:
    """The files that scripts leave on a host, and a list of what they download."""
    folder = f"hosts/{host.node}"
    contents = {one.name: one for one in host.expected if one.kind == "content"}
    downloads = []
    for one in host.expected:
        if one.kind == "mode" and one.name not in contents:
            yield f"{folder}/files{one.name}", _ON_HOST_ONLY if one.text is None else one.text
        elif one.kind == "content" and one.text is not None:
            yield f"{folder}/files{one.name}", one.text
        elif one.kind == "content":
            downloads.append(f"{one.name}  sha256:{one.value}  {one.called.get(one.value, '')}".rstrip() + "\n")
    if downloads:
        yield f"{folder}/downloads.txt", "".join(sorted(downloads))


def _document(inputs: Mapping[str, Any]) -> str:
    first = {key: inputs[key] for key in _FIRST_KEYS if key in inputs}
    return as_yaml(first | {key: value for key, value in inputs.items() if key not in first})


def _plain(value: Any) -> Any:
    """A recorded value with sorted keys, secrets opened: there are only placeholders and made-up values in them."""
    if isinstance(value, Secret):
        return _plain(value.value)
    if value is UNKNOWN:
        return UNKNOWN_TEXT
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    # Numbers come as floats from the engine's protocol.
    return int(value) if isinstance(value, float) and value.is_integer() else value
