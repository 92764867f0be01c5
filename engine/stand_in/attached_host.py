"""The language host inside a process that drives the engine: programs and policy packs without a host to start.

Owns what `pulumi` has to be told so that it calls back here. An official language host is never replaced: where there
is one, it runs the policy packs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.obtain.cli import installed_path
from engine.obtain.shim import HOST, is_our_shim
from engine.stand_in.runners import PACK, Runners

_THREADS = 8
# What a program that runs here says about its language and its packages: nothing. The engine asks for the first before
# it reads the state, and an empty message has no bytes.
_OF_A_PROGRAM = {"/pulumirpc.LanguageRuntime/About": b"", "/pulumirpc.LanguageRuntime/GetRequiredPackages": b""}


@dataclass(frozen=True)
class Attached:
    """What a `pulumi` run needs to call back."""

    arguments: tuple[str, ...]
    variables: dict[str, str]


@contextmanager
def attached(program: Callable[[], None], *, with_pack: bool) -> Iterator[Attached]:
    """While this holds, `pulumi` run as it says runs ``program`` here, as often as it wants: the Automation API's way.

    ``with_pack``: a policy pack will be asked for. Its process starts at once, to be ready when the engine is.
    """
    with ExitStack() as resources:
        runners = Runners(own_groups=True)
        resources.callback(runners.kill)
        thin = is_our_shim(installed_path().parent / HOST)
        if thin and with_pack:
            runners.make_ready(PACK, Path(sys.executable))
        variables = {"PULUMI_DEBUG_LANGUAGES": f"python:{_served(_packs(runners), resources)}"} if thin else {}
        port = _served(_inline(program, resources), resources, _OF_A_PROGRAM)
        yield Attached((f"--client=127.0.0.1:{port}", "--exec-kind=auto.inline"), variables)


def _served(register: Callable[[Any], None], resources: ExitStack, constant: Mapping[str, bytes] | None = None) -> int:
    from engine.stand_in import late_grpc

    server, port = late_grpc.serve(register, ThreadPoolExecutor(_THREADS), constant=constant)
    resources.callback(server.stop, None)
    return port


def _inline(program: Callable[[], None], resources: ExitStack) -> Callable[[Any], None]:
    def register(server: Any) -> None:
        from pulumi import log
        from pulumi.automation._server import LanguageServer
        from pulumi.runtime.proto.language_pb2_grpc import add_LanguageRuntimeServicer_to_server

        from engine.stand_in.quick_sdk import quick_sdk

        resources.enter_context(quick_sdk())
        if not os.environ.get("EDGE_DEBUG"):
            # The SDK says five things about each resource, each a call to the engine, in a log that nobody asked for.
            resources.callback(setattr, log, "debug", log.debug)
            log.debug = _nothing
        add_LanguageRuntimeServicer_to_server(LanguageServer(program), server)

    return register


def _nothing(*_arguments: Any, **_options: Any) -> None:
    """In place of ``pulumi.log.debug``."""


def _packs(runners: Runners) -> Callable[[Any], None]:
    def register(server: Any) -> None:
        from engine.stand_in import language_service

        language_service.register(language_service.LanguageService(runners, runs_programs=False), server)

    return register
