"""gRPC servers whose services are imported when the first call comes.

The engine has to be told a port before it starts, and then needs a third of a second before it calls. What a service
imports in the meantime costs nobody any time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

import grpc

UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
"""Options of a server whose messages may hold a whole site."""


class _Collector:
    """Takes what a generated `add_..._to_server` registers."""

    def __init__(self) -> None:
        self.handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self.handlers += handlers


class _Late(grpc.GenericRpcHandler):
    def __init__(self, register: Callable[[Any], None]) -> None:
        self._register = register

    @functools.cached_property
    def _handlers(self) -> list[grpc.GenericRpcHandler]:
        collector = _Collector()
        self._register(collector)
        return collector.handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        found = (handler.service(handler_call_details) for handler in self._handlers)
        return next((method for method in found if method is not None), None)


def serve(register: Callable[[Any], None], executor: futures.Executor) -> tuple[grpc.Server, int]:
    """A running server on a loopback port that the system chooses, and that port.

    ``register`` adds the services to what it is given; it is called once, when the first call comes.
    """
    server = grpc.server(executor, handlers=(_Late(register),), options=UNLIMITED)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port
