"""What a provider says while it works, on its way to the engine that asked."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

_PATIENCE_S = 10
"""For one line; an engine that is gone or stuck must not hold up a host."""


class EngineLog:
    """Status lines for the engine of each connection, in order and off the caller's thread.

    Status lines, as the official plugin sends them: shown while a resource is worked on, and kept nowhere.
    """

    def __init__(self) -> None:
        self._channels: dict[str, grpc.Channel] = {}
        self._engines: dict[str, str] = {}
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="engine-log")

    def attach(self, peer: str, address: str) -> None:
        """The engine behind the connection ``peer`` listens at ``address``."""
        self._engines[peer] = address
        if address not in self._channels:
            self._channels[address] = grpc.insecure_channel(address)

    def status(self, peer: str, urn: str, message: str) -> Future[None]:
        """Sends one line about a resource; done when the engine has it, or could not be told."""
        line = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=message, urn=urn, ephemeral=True)
        return self._sender.submit(self._send, peer, line)

    def warning(self, peer: str, urn: str, message: str) -> None:
        """A warning, which the engine keeps. It has it when this returns."""
        line = engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=message, urn=urn)
        self._sender.submit(self._send, peer, line).result()

    def _send(self, peer: str, line: engine_pb2.LogRequest) -> None:
        channel = self._channels.get(self._engines.get(peer, ""))
        if channel is None:
            return
        # Lines are a comfort: a run does not fail for want of one.
        with contextlib.suppress(grpc.RpcError):
            engine_pb2_grpc.EngineStub(channel).Log(line, timeout=_PATIENCE_S)

    def close(self) -> None:
        """Nothing more is sent."""
        self._sender.shutdown(wait=True, cancel_futures=True)
        for channel in self._channels.values():
            channel.close()
