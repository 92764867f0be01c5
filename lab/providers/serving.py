"""Where the lab's providers listen, attached to the engine as a rehearsal is.

`command` and `kubernetes` have effect here; every other provider is played by a rehearsal, and ``played`` says which.
``EDGE_PLUGINS=official`` leaves those two to the plugins that the engine finds on PATH; so does a name for one of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent import futures
from contextlib import ExitStack
from typing import Any

from engine.rehearsal.providers import PROVIDERS
from engine.rehearsal.serving import serve, serve_provider, stop
from engine.rehearsal.world import World

WITH_EFFECT = ("command", "kubernetes")
_THREADS = 128
"""Each call of the engine keeps a thread until its host is done, and a fleet has many hosts."""


class OfficialPluginMissing(Exception):
    """Official plugins are asked for, and not all of them are there, or there is none of that name."""


class LabProviders:
    """Serves all providers while the context is entered. ``debug_providers`` is for PULUMI_DEBUG_PROVIDERS.

    ``world`` answers provider functions of the rehearsed ones. ``played`` names those, ``official`` the providers with
    effect that are official plugins. Raises ``OfficialPluginMissing``.
    """

    def __init__(self, world: World | None = None) -> None:
        self._world = world
        self._open = ExitStack()
        self.official = official_plugins()
        self.debug_providers = ""
        self.played: tuple[str, ...] = ()

    def __enter__(self) -> LabProviders:
        _require(self.official)
        with ExitStack() as opened:
            executor = futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="lab")
            opened.callback(executor.shutdown, wait=False, cancel_futures=True)
            ports = {}
            for name in PROVIDERS:
                if name not in WITH_EFFECT:
                    server, ports[name] = serve(name, self._world, executor)
                    opened.callback(stop, server)
                elif name not in self.official:
                    provider = _provider(name, self._world)
                    server, ports[name] = serve_provider(provider, executor)
                    opened.callback(stop, server)
                    # Before the server stops: a call ends when the process that it waits for has ended.
                    opened.callback(provider.close)
            self.debug_providers = ",".join(f"{name}:{port}" for name, port in ports.items())
            self.played = tuple(name for name in ports if name not in WITH_EFFECT)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    @property
    def said(self) -> str:
        """One line for the reader of a lab run: what is real in it."""
        own = [name for name in WITH_EFFECT if name not in self.official]
        real = [
            f"{' and '.join(names)}: {whose}"
            for names, whose in ((own, "the lab's own, with effect"), (self.official, "official, with effect"))
            if names
        ]
        return f"{'; '.join(real)}; rehearsed: {', '.join(self.played)}"


def official_plugins() -> tuple[str, ...]:
    """Which providers EDGE_PLUGINS leaves to official plugins. Raises ``OfficialPluginMissing`` for an unknown name."""
    asked = os.environ.get("EDGE_PLUGINS", "")
    names = WITH_EFFECT if asked == "official" else tuple(filter(None, (name.strip() for name in asked.split(","))))
    if unknown := [name for name in names if name not in WITH_EFFECT]:
        raise OfficialPluginMissing(
            f"EDGE_PLUGINS={asked}: {unknown[0]} is no provider that has effect in the lab. "
            f"Say official for all of them, or some of {', '.join(WITH_EFFECT)}."
        )
    return names


def _provider(name: str, world: World | None) -> Any:
    if name == "command":
        from lab.providers.command import CommandProvider

        return CommandProvider(world)
    from lab.providers.kubernetes import KubernetesProvider

    return KubernetesProvider(world)


def _require(plugins: Sequence[str]) -> None:
    missing = [name for name in plugins if shutil.which(f"pulumi-resource-{name}") is None]
    if missing:
        names = " and ".join(f"pulumi-resource-{name}" for name in missing)
        raise OfficialPluginMissing(
            f"EDGE_PLUGINS={os.environ['EDGE_PLUGINS']}, but {names} cannot be found on PATH. Install it with "
            f"`pulumi plugin install resource {missing[0]}` and put it there, or unset EDGE_PLUGINS to use the lab's "
            "own providers."
        )
