"""gRPC servers whose services are imported when the first call comes.

The engine has to be told a port before it starts, and then needs a third of a second before it calls. What a service
imports in the meantime costs nobody any time. What is always answered alike does not wait for the import.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
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
    def __init__(self, register: Callable[[Any], None], constant: Mapping[str, bytes]) -> None:
        self._register = register
        self._constant = {method: _always(answer) for method, answer in constant.items()}
        self._importing = threading.Lock()

    @functools.cached_property
    def _handlers(self) -> list[grpc.GenericRpcHandler]:
        collector = _Collector()
        self._register(collector)
        return collector.handlers

    def _services(self) -> list[grpc.GenericRpcHandler]:
        with self._importing:
            return self._handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if constant := self._constant.get(handler_call_details.method):
            # The other calls come soon.
            threading.Thread(target=self._services, daemon=True).start()
            return constant
        found = (handler.service(handler_call_details) for handler in self._services())
        return next((method for method in found if method is not None), None)


def _always(answer: bytes) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(lambda request, context: answer)


def serve(
    register: Callable[[Any], None], executor: futures.Executor, *, constant: Mapping[str, bytes] | None = None
) -> tuple[grpc.Server, int]:
    """A running server on a loopback port that the system chooses, and that port.

    ``register`` adds the services to what it is given; it is called once, when the first call comes.
    ``constant`` are answers, as they go over the wire, by method; they need no service.
    """
    server = grpc.server(executor, handlers=(_Late(register, constant or {}),), options=UNLIMITED)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port
