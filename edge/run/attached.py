"""Runs a Pulumi program inside this process for a `pulumi` that it starts: the Automation API's inline program.

Owns the language runtime that the engine calls back, and the rule of one run at a time: the SDK keeps the settings of a
run in globals, so a second site needs a process of its own. Policy packs are run by the official language host; where
that is absent, by `engine.stand_in`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pulumi.runtime
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, language_pb2, language_pb2_grpc

from engine.serving import UNLIMITED, serving
from engine.stand_in.pack_host import pack_host

# The SDK's calls wait in threads; four for each parallel operation keep the engine busy.
_THREADS_PER_OPERATION = 4
_running = threading.Lock()


@dataclass(frozen=True)
class Attached:
    """What a `pulumi` run needs to call back."""

    arguments: tuple[str, ...]
    variables: dict[str, str]


class AlreadyRunning(Exception):
    """A program is attached in this process already."""

    def __init__(self) -> None:
        super().__init__(
            "A Pulumi program is already attached in this process. Run one site at a time per process, and start one "
            "process for each further site."
        )


@contextmanager
def attached(program: Callable[[], None], *, with_pack: bool) -> Iterator[Attached]:
    """Within this context, a `pulumi` that is started with these arguments and variables runs ``program`` here.

    It may be started several times. ``with_pack``: the run has a policy pack, whose process starts at once, to be ready
    when the engine is. Raises ``AlreadyRunning`` while another context is open in this process.
    """
    if not _running.acquire(blocking=False):
        raise AlreadyRunning
    try:
        with pack_host(with_pack=with_pack) as variables, serving() as (server, port):
            runtime = _InlineProgram(program)
            language_pb2_grpc.add_LanguageRuntimeServicer_to_server(runtime, server)
            server.start()
            try:
                yield Attached((f"--client=127.0.0.1:{port}", "--exec-kind=auto.inline"), variables)
            finally:
                runtime.cancel()
    finally:
        _running.release()


class _InlineProgram(language_pb2_grpc.LanguageRuntimeServicer):
    """A language runtime that knows one program, and runs it when asked to run any."""

    def __init__(self, program: Callable[[], None]) -> None:
        self._program = program
        self._runs: dict[asyncio.AbstractEventLoop, asyncio.Task[Any]] = {}

    def cancel(self) -> None:
        """End the runs that are left: an interrupted engine does not answer what they still wait for."""
        for loop, run in list(self._runs.items()):
            with contextlib.suppress(RuntimeError):
                # The loop may have been closed in the meantime.
                loop.call_soon_threadsafe(run.cancel)

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        return language_pb2.AboutResponse()

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """None up front: the engine fetches a plugin when a resource first needs it."""
        return language_pb2.GetRequiredPackagesResponse()

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        return asyncio.run(self._run(request))

    async def _run(self, request: language_pb2.RunRequest) -> language_pb2.RunResponse:
        loop = asyncio.get_running_loop()
        run = asyncio.current_task()
        assert run is not None
        self._runs[loop] = run
        loop.set_default_executor(ThreadPoolExecutor(max(request.parallel, 1) * _THREADS_PER_OPERATION))
        # A failed resource fails the outputs that depend on it, which nobody awaits any more.
        loop.set_exception_handler(lambda _loop, _context: None)
        # Context variables of the SDK: set here, inside the task, they end with it.
        pulumi.runtime.reset_options()
        pulumi.runtime.configure(
            pulumi.runtime.Settings(
                project=request.project,
                stack=request.stack,
                root_directory=request.info.root_directory,
                parallel=request.parallel,
                engine=_Engine(request.args[0]) if request.args else None,
                monitor=request.monitor_address,
                dry_run=request.dryRun,
                organization=request.organization or "organization",
            )
        )
        pulumi.runtime.set_all_config(dict(request.config), list(request.configSecretKeys))
        try:
            await pulumi.runtime.run_in_stack(self._program)
        except asyncio.CancelledError:
            # The engine has ended, so there is nobody to tell.
            return language_pb2.RunResponse()
        except BaseException as error:
            return _failed(error)
        finally:
            del self._runs[loop]
        return language_pb2.RunResponse()


class _Engine(engine_pb2_grpc.EngineStub):
    """The engine as the SDK calls it, without debug messages.

    The SDK sends several of them for each resource and waits for each. `edge` never runs `pulumi --debug`, the only
    thing that shows them.
    """

    def __init__(self, address: str) -> None:
        super().__init__(grpc.insecure_channel(address, options=UNLIMITED))
        send = self.Log

        def log(request: engine_pb2.LogRequest) -> None:
            if request.severity != engine_pb2.DEBUG:
                send(request)

        self.Log = log


def _failed(error: BaseException) -> language_pb2.RunResponse:
    """Tell the engine why the program failed, in the words of the Automation API's own inline programs."""
    if isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.UNAVAILABLE:
        # The engine is shutting down, and knows why.
        return language_pb2.RunResponse()
    if isinstance(error, pulumi.RunError):
        message = str(error)
    elif isinstance(error, grpc.RpcError):
        message = f"RPC error: {error.details()}"
    else:
        message = f"python inline source runtime error: {error}\n{''.join(traceback.format_exception(error))}"
    pulumi.log.error(message)
    return language_pb2.RunResponse(error=message)
