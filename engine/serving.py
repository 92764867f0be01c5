"""gRPC servers on loopback, for an engine on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc

UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
"""Options of a server whose messages may hold a whole site."""
_THREADS = 8


def new_server(executor: futures.Executor) -> tuple[grpc.Server, int]:
    """A server that has not been started, and its port, which the system chooses."""
    server = grpc.server(executor, options=UNLIMITED)
    return server, server.add_insecure_port("127.0.0.1:0")


@contextmanager
def serving() -> Iterator[tuple[grpc.Server, int]]:
    """A server for the caller to fill and start, and its port. Stopped when the context ends."""
    server, port = new_server(futures.ThreadPoolExecutor(_THREADS))
    try:
        yield server, port
    finally:
        server.stop(None)
