"""A stack of a YAML program that uses the package, rehearsed by plain `pulumi` with the real host of YAML programs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from engine.environment import PROJECT_ROOT, environment, file_backend
from engine.rehearsal.serving import RehearsalServer
from engine.rehearsal.world import World
from lab import yaml_host
from sitefile.problems import dotted
from sitefile.yaml_source import read
from sitefile.yaml_tree import drop, plain, scalars
from stacks.configuration import PLACEHOLDER
from stacks.loader import load_site
from stacks.parts import required
from stacks.project import site_file
from tests.engine_run import Rehearsed

PACKAGE = PROJECT_ROOT / "package"


def written(site: str) -> dict[str, Any]:
    """A site of the project as its file says it, with nulls as the component takes them."""
    tree = read(site_file(PROJECT_ROOT, site)).tree
    assert tree is not None
    without = [dotted(path) for path, node in scalars(tree) if node.value is None]
    for path in without:
        drop(tree, tuple(path.split(".")))
    return {**plain(tree), **({"without": without} if without else {})}


def program_of(site: str, **properties: Any) -> dict[str, Any]:
    """A YAML program with one site as its file describes it."""
    return {
        "name": "edge",
        "runtime": "yaml",
        "packages": {"edge": str(PACKAGE)},
        "resources": {site: {"type": "edge:EdgeSite", "properties": {**written(site), **properties}}},
        "outputs": {"endpoint": f"${{{site}.kubernetes_endpoint}}", "site": f"${{{site}.site}}"},
    }


@contextmanager
def yaml_stack(
    home: Path,
    program: Mapping[str, Any],
    site: str,
    secrets: Mapping[str, str] | None = None,
    config: Mapping[str, str] | None = None,
) -> Iterator[Rehearsed]:
    """A new stack of a YAML program, attached to a rehearsal of ``site``, which it has its name from.

    ``secrets`` go into its settings by standard input; without them, ``config`` does as plain text: by default
    placeholders for what the site needs.
    """
    (home / "state").mkdir(parents=True)
    (home / "Pulumi.yaml").write_text(yaml.safe_dump(dict(program), sort_keys=False))
    spec = load_site(site)
    with RehearsalServer(World.of(spec.model_dump(mode="json"))) as server:
        variables = environment(rehearsal=server.debug_providers, backend=file_backend(home / "state"))
        path = os.pathsep.join([variables["PATH"], str(yaml_host.folder())])
        made = Rehearsed(site, home, {**variables, "PULUMI_HOME": str(home / "home"), "PATH": path})
        made.pulumi("stack", "init")
        for key, value in (secrets or {}).items():
            made.secret(key, value)
        if secrets is None:
            settings = home / f"Pulumi.{site}.yaml"
            values = config or {f"edge:{need.key}": PLACEHOLDER + need.key for need in required(spec)}
            settings.write_text(yaml.safe_dump({**yaml.safe_load(settings.read_text()), "config": dict(values)}))
        yield made
