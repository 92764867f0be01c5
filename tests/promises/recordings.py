"""The project's own sites as recorded resources, and how the tests of promises read them.

Tests here know resource types and inputs as a provider gets them, and no module of ``components``.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from edge.run import program
from edge.run.program import Configuration
from engine.rehearsal.in_process import Recorded, Recording, Secret
from engine.rehearsal.values import reveal
from stacks.loader import load_site, site_names
from stacks.parts import required
from stacks.site import SiteSpec

COMMAND = "command:remote:Command"
HELM_RELEASE = "kubernetes:helm.sh/v3:Release"
SECRET_MARK = "secret-of-this-test-"

SITES = tuple(site_names())


@functools.cache
def recorded(site: str) -> Recording:
    """What the program registers for ``site``; each of its secrets is `SECRET_MARK` and its key."""
    return recorded_site(load_site(site))


def recorded_site(spec: SiteSpec, secrets: Mapping[str, str] | None = None) -> Recording:
    """The same of a site that is none of the project's own, with other ``secrets`` where a test needs them."""
    config = {f"edge:{need.key}": SECRET_MARK + need.key for need in required(spec)} | dict(secrets or {})
    return program.recorded(spec, Configuration(config, frozenset(config)))


def all_resources() -> Iterator[tuple[str, Recorded]]:
    """Every resource of every site, with the site's name."""
    for site in SITES:
        for resource in recorded(site).resources:
            yield site, resource


def of_type(kind: str) -> list[Recorded]:
    """All resources of one type, over all sites. At least one: a promise about nothing is kept by anything."""
    found = [resource for _, resource in all_resources() if resource.type == kind]
    assert found, f"no site has a {kind}"
    return found


def plain(resource: Recorded) -> dict[str, Any]:
    """The inputs of a resource, secrets shown."""
    shown: dict[str, Any] = reveal(resource.inputs)
    return shown


def objects(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """The Kubernetes objects of a kind that the program itself makes, over all sites, with their site."""
    found = [
        (site, plain(resource))
        for site, resource in all_resources()
        if resource.type.startswith("kubernetes:") and resource.type.endswith(f":{kind}")
    ]
    assert found, f"no site has a {kind}"
    return found


def commands(role: str) -> list[Recorded]:
    """The remote commands whose name ends in ``role``, over all sites."""
    found = [command for command in of_type(COMMAND) if command.name.endswith(f"-{role}")]
    assert found, f"no site has a command {role}"
    return found


def script(command: Recorded, when: str = "create") -> str:
    """The script that a command runs on ``create``, ``update`` or ``delete``; empty where it runs none."""
    value = plain(command).get(when)
    return _unquoted(value) if value else ""


@functools.cache
def _unquoted(command: str) -> str:
    return shlex.split(command)[-1]


def scripts() -> Iterator[tuple[str, str]]:
    """Every script of every command, with the command's name."""
    for command in of_type(COMMAND):
        for when in ("create", "update", "delete"):
            if text := script(command, when):
                yield f"{command.name} ({when})", text


def files(text: str) -> dict[str, str]:
    """The files that a script writes from its own text, by path."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("put_file ") and " <<'" in line:
            command, _, delimiter = line.partition(" <<")
            body = []
            for inner in lines:
                if inner == delimiter.strip("'"):
                    break
                body.append(inner)
            found[shlex.split(command)[1]] = "".join(f"{one}\n" for one in body)
    return found


def k3s_servers() -> list[tuple[Recorded, dict[str, Any], dict[str, str]]]:
    """The installations of K3s servers: command, `config.yaml`, and all files by path."""
    found = []
    for command in commands("k3s"):
        written = files(script(command))
        config: dict[str, Any] = yaml.safe_load(written["/etc/rancher/k3s/config.yaml"])
        if "token-file" in config and "server" not in config:
            found.append((command, config, written))
    assert found, "no site has a K3s server"
    return found


def secret_paths(value: Any, path: str = "") -> Iterator[str]:
    """Where in inputs or outputs secrets are."""
    if isinstance(value, Secret):
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from secret_paths(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from secret_paths(item, f"{path}[{number}]")


def before(site: str, resource: Recorded) -> set[str]:
    """Names of all that must be there before ``resource``, and is therefore removed after it."""
    by_urn = {one.urn: one for one in recorded(site).resources}
    found: set[str] = set()
    waiting = [resource]
    while waiting:
        one = waiting.pop()
        for urn in (*one.dependencies, one.provider.rpartition("::")[0]):
            needed = by_urn.get(urn)
            if needed is not None and needed.name not in found:
                found.add(needed.name)
                waiting.append(needed)
    return found


def with_changes(site: str, change: Callable[[dict[str, Any]], None]) -> Recording:
    """What the program registers for ``site`` after a change of what its site file says."""
    content = load_site(site).model_dump(mode="json")
    change(content)
    return recorded_site(SiteSpec.model_validate(content))
