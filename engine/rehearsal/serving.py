"""The gRPC servers of a rehearsal: one for each provider, on loopback."""

from __future__ import annotations

from concurrent import futures
from contextlib import ExitStack

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from engine.rehearsal.providers import PROVIDERS
from engine.rehearsal.server import Provider
from engine.rehearsal.world import World
from engine.serving import new_server

_THREADS = 16


class RehearsalServer:
    """All providers of a rehearsal, served while the context is entered. ``debug_providers`` attaches the engine.

    ``world`` answers provider functions (`World.of`); without it there is nothing to look up. Listens on 127.0.0.1, on
    ports that the system chooses.
    """

    def __init__(self, world: World | None = None) -> None:
        self._world = world
        self._open = ExitStack()
        self.debug_providers = ""

    def __enter__(self) -> RehearsalServer:
        executor = futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="rehearsal")
        ports = {}
        for name in PROVIDERS:
            server, ports[name] = serve(name, self._world, executor)
            self._open.callback(stop, server)
        self.debug_providers = ",".join(f"{name}:{port}" for name, port in ports.items())
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()


def serve(name: str, world: World | None = None, executor: futures.Executor | None = None) -> tuple[grpc.Server, int]:
    """A running server of one provider, and its port on loopback."""
    return serve_provider(Provider(name, world or World()), executor or futures.ThreadPoolExecutor(_THREADS))


def serve_provider(
    provider: provider_pb2_grpc.ResourceProviderServicer, executor: futures.Executor
) -> tuple[grpc.Server, int]:
    """A running server of this provider, and its port on loopback."""
    server, port = new_server(executor)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    server.start()
    return server, port


def stop(server: grpc.Server) -> None:
    """Stop a server now, and return when it has stopped."""
    server.stop(grace=None).wait()
