"""A provider of a rehearsal as the engine meets it, asking `core` for everything.

The protocol is in `protocol`; who listens where is in `serving`. Nothing here opens a connection or knows a resource
type.
"""

from __future__ import annotations

from engine.rehearsal import core
from engine.rehearsal.protocol import Asked, Properties, Protocol
from engine.rehearsal.world import World


class Provider(Protocol):
    """One provider of a rehearsal: what `core` makes up is all that happens."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, world, f"the rehearsal of {name}")

    def create(self, asked: Asked, inputs: Properties) -> tuple[str, Properties]:
        return core.create(asked.token, asked.urn, inputs)

    def update(self, asked: Asked, identity: str, inputs: Properties, olds: Properties) -> Properties:
        return core.update(asked.token, asked.urn, inputs, olds)

    def delete(self, asked: Asked, identity: str, olds: Properties) -> None:
        """There is nothing to undo."""
