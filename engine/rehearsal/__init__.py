"""Rehearsal: the providers of a site, played for the real Pulumi engine on one machine.

It checks what a program asks for against the SDKs' own types and the Kubernetes API's, decides as the real providers do
what would be changed or replaced, keeps secrets secret, and returns the same outputs for the same inputs. It reaches
nothing and changes nothing. What it cannot show stands in ``README.md`` beside this file.

``RehearsalServer`` attaches to the engine; ``in_process.record`` runs a program without one. Both ask ``core``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.rehearsal.serving import RehearsalServer
    from engine.rehearsal.world import World

__all__ = ["RehearsalServer", "World"]


def __getattr__(name: str) -> Any:
    # gRPC costs a tenth of a second to import; a check in this process needs none of it.
    if name == "RehearsalServer":
        from engine.rehearsal.serving import RehearsalServer

        return RehearsalServer
    if name == "World":
        from engine.rehearsal.world import World

        return World
    raise AttributeError(name)
