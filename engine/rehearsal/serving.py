"""Where a rehearsal listens: one gRPC server for each provider, on loopback.

Owns ports. The providers themselves are imported when the engine first calls one.
"""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING, Any

from engine.rehearsal.providers import PROVIDERS
from engine.stand_in import late_grpc

if TYPE_CHECKING:
    import grpc

    from engine.rehearsal.world import World

_THREADS = 16


class RehearsalServer:
    """All providers of a rehearsal, served while the context is entered. ``debug_providers`` attaches the engine.

    ``world`` answers provider functions (`World.of`); without it there is nothing to look up. Listens on 127.0.0.1, on
    ports that the system chooses.
    """

    def __init__(self, world: World | None = None) -> None:
        self._world = world
        self._servers: list[grpc.Server] = []
        self.debug_providers = ""

    def __enter__(self) -> RehearsalServer:
        executor = futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="rehearsal")
        ports = {}
        for name in PROVIDERS:
            server, ports[name] = serve(name, self._world, executor)
            self._servers.append(server)
        self.debug_providers = ",".join(f"{name}:{port}" for name, port in ports.items())
        return self

    def __exit__(self, *exception: object) -> None:
        for stopped in [server.stop(grace=None) for server in self._servers]:
            stopped.wait()
        self._servers.clear()


def serve(name: str, world: World | None = None, executor: futures.Executor | None = None) -> tuple[grpc.Server, int]:
    """A running server of one provider, and its port on loopback."""

    def register(server: Any) -> None:
        from pulumi.runtime.proto import provider_pb2_grpc

        from engine.rehearsal.server import Provider
        from engine.rehearsal.world import World

        provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(name, world or World()), server)

    return late_grpc.serve(register, executor or futures.ThreadPoolExecutor(_THREADS))
