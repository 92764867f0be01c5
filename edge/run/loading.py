"""A site that is being loaded while something else starts.

Reading a site and importing all that its program needs takes about as long as the engine needs to come up. Started
side by side, a preview waits for the longer of the two. Owns the thread; what is loaded is in the modules it calls.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from engine.rehearsal.world import World
    from stacks.program import Built, Program
    from stacks.site import SiteSpec

# What nearly every site's resources are made of. The SDKs would import it at the first resource, when the engine waits.
_SLOW_TO_IMPORT = ("pulumi_command.remote", "pulumi_kubernetes.helm.v3")
_OF_A_REGISTRATION = {
    "arc": "components.registration.arc.component",
    "outposts": "components.place.outposts.component",
}


class Loaded(NamedTuple):
    """A site, ready to be built."""

    spec: SiteSpec
    program: Program
    world: World | None
    """What the site declares of the clouds around it, for a rehearsal."""


class SiteLoading:
    """One site on its way. ``begin`` returns at once; all else waits for the end, and raises what went wrong.

    Wrong is a file that is no good site, and a stack that lacks secrets of it where the run is no rehearsal.
    """

    def __init__(self, name: str, root: Path, *, rehearsed: bool, built: Built | None = None) -> None:
        self._name, self._root, self._rehearsed, self._built = name, root, rehearsed, built
        self._future: Future[Loaded] = Future()
        self._begun = threading.Lock()

    def begin(self, on_failure: Callable[[], None] | None = None) -> None:
        """Start loading, if that has not been done yet. ``on_failure`` is called where that goes wrong."""
        if self._begun.acquire(blocking=False):
            threading.Thread(target=self._load, args=(on_failure,), name="site loading", daemon=True).start()

    def wait(self) -> None:
        """Wait for the end. Raises what went wrong."""
        _ = self._loaded

    @property
    def spec(self) -> SiteSpec:
        """The validated site. Raises ``SiteError`` and ``OperationError``."""
        return self._loaded.spec

    @property
    def world(self) -> World:
        world = self._loaded.world
        assert world is not None
        return world

    def run(self) -> None:
        """The Pulumi program."""
        self._loaded.program()

    @property
    def _loaded(self) -> Loaded:
        self.begin()
        return self._future.result()

    def _load(self, on_failure: Callable[[], None] | None) -> None:
        try:
            self._future.set_result(self._read())
        except BaseException as error:
            self._future.set_exception(error)
            if on_failure is not None:
                on_failure()

    def _read(self) -> Loaded:
        from stacks.loader import load_site

        spec = load_site(self._name, root=self._root)
        if not self._rehearsed:
            _require_secrets(spec, self._root)
        world = None
        if self._rehearsed:
            from engine.rehearsal.world import World

            world = World.of(spec.model_dump(mode="json"))
        from stacks.program import program

        for module in (*_SLOW_TO_IMPORT, _OF_A_REGISTRATION.get(spec.registration.kind)):
            if module is not None:
                importlib.import_module(module)
        built = self._built or (lambda _site: None)
        return Loaded(spec, program(spec, rehearsed=self._rehearsed, built=built), world)


def _require_secrets(spec: SiteSpec, root: Path) -> None:
    """Say all missing secrets at once; the engine would stop at the first."""
    from edge.run.failure import secrets_missing
    from edge.run.stack_settings import read_settings

    if missing := read_settings(root, spec.site).missing(spec):
        raise secrets_missing(spec.site, missing)


class WorldOf:
    """The world of a site that is still being loaded: known when it is first asked for something."""

    def __init__(self, site: SiteLoading) -> None:
        self._site = site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._site.world, name)
