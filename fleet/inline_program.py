"""Runs a Pulumi program inside this process for a `pulumi` that is told to call back: the Automation API's inline way.

Owns the server that `--client` points to. The program itself is someone else's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

_THREADS = 4


@contextmanager
def served(program: Callable[[], None]) -> Iterator[list[str]]:
    """While this holds, `pulumi` with these further arguments runs ``program`` here, as often as it wants."""
    import grpc
    from pulumi import log
    from pulumi.automation._server import LanguageServer
    from pulumi.runtime.proto.language_pb2_grpc import add_LanguageRuntimeServicer_to_server

    server = grpc.server(ThreadPoolExecutor(_THREADS), options=[("grpc.max_receive_message_length", -1)])
    add_LanguageRuntimeServicer_to_server(LanguageServer(program), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    debug = log.debug
    if not os.environ.get("EDGE_DEBUG"):
        # The SDK says five things about each resource, each a call to the engine, in a log that nobody has asked for.
        log.debug = _nothing
    try:
        yield [f"--client=127.0.0.1:{port}", "--exec-kind=auto.inline"]
    finally:
        log.debug = debug
        server.stop(None)


def _nothing(*_arguments: Any, **_options: Any) -> None:
    """In place of ``pulumi.log.debug``."""
