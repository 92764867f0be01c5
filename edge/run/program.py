"""The project's own `__main__.py`, run in this process: behind an engine, or recorded without one.

Owns what the program is given here: its site, its configuration in a rehearsal, and a standard output of its own. What
the program builds is ``stacks.program``'s.
"""

from __future__ import annotations

import contextlib
import importlib
import runpy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pulumi
from pulumi.runtime import set_all_config

from edge.run.stack_settings import placeholders, read_settings
from engine.environment import PROJECT_ROOT
from engine.rehearsal.in_process import Recording, record
from engine.rehearsal.world import World
from stacks.configuration import ALLOW_DESTROY, NAMESPACE, full_key
from stacks.loader import load_site
from stacks.parts import entries
from stacks.program import Built, observed
from stacks.project import project_name, site_file
from stacks.site import SiteSpec

_SDKS = ("pulumi_command.local", "pulumi_command.remote", "pulumi_kubernetes.helm.v3")


@dataclass(frozen=True)
class Configuration:
    """A stack's configuration in a rehearsal, by full key."""

    values: Mapping[str, str]
    secret_keys: frozenset[str] = frozenset()


def rehearsed(spec: SiteSpec, plain: Mapping[str, str], file: Path, root: Path) -> Configuration:
    """The settings of a site's stack, ``plain``, with a placeholder for every secret that the site requires.

    `edge:site` says where the site is, unless its name says so already.
    """
    secrets = {full_key(key): value for key, value in placeholders(spec).items()}
    own = site_file(root, spec.site)
    site = {} if file.resolve() == own.resolve() else {full_key("site"): str(file.resolve())}
    return Configuration({**plain, **site, **secrets}, frozenset(secrets))


def main_program(
    root: Path,
    site: SiteSpec | None = None,
    *,
    built: Built = lambda _site: None,
    configuration: Configuration | None = None,
) -> Callable[[], None]:
    """A Pulumi program that runs ``root/__main__.py``.

    ``site`` and ``built`` are those of ``observed``. ``configuration`` takes the place of the stack's own. What
    `__main__.py` prints goes to standard error: standard output belongs to `edge`.
    """

    def run() -> None:
        if configuration is not None:
            consent = pulumi.Config(NAMESPACE).get(ALLOW_DESTROY)
            given = {full_key(ALLOW_DESTROY): consent} if consent else {}
            set_all_config({**configuration.values, **given}, list(configuration.secret_keys))
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
        with contextlib.redirect_stdout(sys.stderr), observed(built, site):
            runpy.run_path(str(root / "__main__.py"), run_name="__main__")

    return run


def recorded(
    spec: SiteSpec, configuration: Configuration, root: Path = PROJECT_ROOT, built: Built = lambda _site: None
) -> Recording:
    """Run the program of a site without an engine. Returns what it registered. Raises what the program raises.

    ``built`` gets the site, where `__main__.py` builds one. It refers to every resource and task of the run: whoever
    keeps it keeps them all.
    """
    import_sdks(spec)
    return record(
        main_program(root, spec, built=built),
        project=project_name(root),
        stack=spec.site,
        config=configuration.values,
        secret_keys=configuration.secret_keys,
        world=world_of(spec),
    )


def recorded_site(site: str, root: Path, built: Built = lambda _site: None) -> tuple[SiteSpec, Recording]:
    """As ``recorded``, with the site as its file and the settings of its stack have it. ``site`` is an id or a path.

    No setting that holds a secret is read. Raises ``FileError``, and what the program raises.
    """
    spec = load_site(site, root=root)
    file = Path(site) if site != spec.site else site_file(root, spec.site)
    settings = read_settings(root, spec.site)
    return spec, recorded(spec, rehearsed(spec, settings.plain, file, root), root, built)


def world_of(spec: SiteSpec) -> World:
    """What a rehearsal knows of the clouds around a site: what its file declares."""
    return World.of(spec.model_dump(mode="json"))


def import_sdks(spec: SiteSpec) -> None:
    """Import the provider SDKs that a site's resources use.

    The SDKs load their modules when they are first used, which is not safe in several threads: they are loaded before
    the program's threads start.
    """
    for name in _SDKS:
        _load(importlib.import_module(name))
    for entry in entries(spec):
        _load(entry.part.load())


def _load(module: ModuleType) -> None:
    """A module that loads lazily is executed when its first attribute is read."""
    getattr(module, "__all__", None)
