"""What the thin Python language host answers to the engine: run a program, run a policy pack, say what is installed.

Owns the gRPC methods; the processes behind them are in `runners`. It generates no code, converts no programs and
resolves no packages: those calls stay unimplemented, and `pulumi` says so. Follows the official host where a user can
see it.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from engine.stand_in import python_environment
from engine.stand_in.program_exec import TOLD_THE_USER
from engine.stand_in.runners import PACK, PROGRAM, Runners, end

_CHUNK_BYTES = 64 * 1024
_POLICY_PACK = "analyzer"

Stream = Literal["stdout", "stderr"]


class LanguageService(language_pb2_grpc.LanguageRuntimeServicer):
    """The LanguageRuntime service for Python programs and policy packs."""

    def __init__(self, runners: Runners, *, runs_programs: bool = True) -> None:
        self._runners = runners
        self._runs_programs = runs_programs

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=python_environment.sdk_version())

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """None up front: the engine fetches a plugin when a resource first needs it, so no site pays for another's.

        The official host lists every installed SDK package, which makes the engine fetch the plugins of clouds that a
        site does not use, and, on a machine without a network, retry each of them at every preview.
        """
        return language_pb2.GetRequiredPackagesResponse()

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        interpreter = _interpreter(request.info)
        described = {
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization or "organization",
            "root": request.info.root_directory,
            "working_folder": request.pwd or request.info.program_directory,
            "folder": request.info.program_directory,
            "entry_point": request.info.entry_point,
            "arguments": list(request.args[1:]),
            "monitor": request.monitor_address,
            "engine": request.args[0] if request.args else "",
            "parallel": request.parallel,
            "dry_run": request.dryRun,
            "config": dict(request.config),
            "secret_keys": list(request.configSecretKeys),
        }
        process = self._runners.take(PROGRAM, interpreter)
        context.add_callback(lambda: end(process))
        process.communicate(json.dumps(described).encode())
        self._runners.ended(process)
        return _run_response(process.returncode)

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a policy pack, or a plugin written in Python, until it ends or the engine drops the call."""
        interpreter = _interpreter(request.info)
        folder = request.info.program_directory
        wanted = dict(entry.partition("=")[::2] for entry in request.env)
        environment = python_environment.activated(interpreter, wanted or os.environ)
        if request.kind == _POLICY_PACK:
            process = self._run_pack([*request.args, folder], interpreter, request.pwd or folder, environment)
        else:
            program = os.path.normpath(os.path.join(folder, request.info.entry_point))
            process = self._runners.start(
                [str(interpreter), "-u", program, *request.args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=request.pwd or folder,
                env=environment,
            )
        context.add_callback(lambda: end(process))
        for stream, chunk in _output(process):
            yield (
                language_pb2.RunPluginResponse(stdout=chunk)
                if stream == "stdout"
                else language_pb2.RunPluginResponse(stderr=chunk)
            )
        code = process.wait()
        self._runners.ended(process)
        yield language_pb2.RunPluginResponse(exitcode=code)

    def _run_pack(
        self, arguments: list[str], interpreter: Path, folder: str, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        process = self._runners.take(PACK, interpreter)
        if self._runs_programs:
            # The engine waits for its policy packs before it runs the program. A program process started with the
            # first pack imports the SDK meanwhile (0.3 s), then waits for its request.
            self._runners.make_ready(PROGRAM, interpreter)
        request = {"arguments": arguments, "folder": folder, "environment": environment}
        assert process.stdin is not None
        # It stays open: its end tells the pack that this host is gone.
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        return process

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        """What `pulumi install` asks for: the project's virtual environment, then its requirements.txt."""
        info = request.info
        folder = info.program_directory or request.directory
        steps: list[list[str]] = []
        wanted = python_environment.virtual_environment(_options(info).get("virtualenv"), info.root_directory or folder)
        interpreter = Path(sys.executable) if wanted is None else wanted / "bin" / "python"
        if not interpreter.exists():
            steps.append([sys.executable, "-m", "venv", str(wanted)])
        if (Path(folder) / "requirements.txt").is_file():
            steps.append([str(interpreter), "-m", "pip", "install", "--requirement", "requirements.txt"])
        for step in steps:
            process = self._runners.start(
                step, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            context.add_callback(lambda process=process: end(process))
            for stream, chunk in _output(process):
                yield language_pb2.InstallDependenciesResponse(**{stream: chunk})
            code = process.wait()
            self._runners.ended(process)
            if code != 0:
                context.abort(grpc.StatusCode.INTERNAL, f"{' '.join(step)} ended with exit code {code}")

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        found = python_environment.distributions(
            _interpreter(request.info), with_transitive=request.transitiveDependencies
        )
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=name, version=version) for name, version in found]
        )

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        interpreter = _interpreter(request.info)
        version = ".".join(str(part) for part in sys.version_info[:3])
        return language_pb2.AboutResponse(
            executable=str(interpreter), version=version, metadata={"host": "edge thin language host"}
        )

    def RuntimeOptionsPrompts(
        self, request: language_pb2.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    def Template(
        self, request: language_pb2.TemplateRequest, context: grpc.ServicerContext
    ) -> language_pb2.TemplateResponse:
        return language_pb2.TemplateResponse()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Nothing to do: a program ends when its monitor closes, a pack when its call is dropped."""
        return empty_pb2.Empty()


def register(service: LanguageService, server: grpc.Server) -> None:
    """Add the service to a gRPC server."""
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(service, server)


def _options(info: language_pb2.ProgramInfo) -> dict[str, Any]:
    return dict(info.options)


def _interpreter(info: language_pb2.ProgramInfo) -> Path:
    return python_environment.interpreter(_options(info).get("virtualenv"), info.root_directory)


def _run_response(code: int) -> language_pb2.RunResponse:
    if code == 0:
        return language_pb2.RunResponse()
    if code == TOLD_THE_USER:
        return language_pb2.RunResponse(bail=True)
    if code < 0:
        return language_pb2.RunResponse(error=f"the program was ended by signal {-code}")
    return language_pb2.RunResponse(error=f"the program ended with exit code {code}")


def _output(process: subprocess.Popen[bytes]) -> Iterator[tuple[Stream, bytes]]:
    """Chunks of a process's output as they come; ends when both streams have ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    chunks: queue.SimpleQueue[tuple[Stream, bytes]] = queue.SimpleQueue()

    def copy(source: IO[bytes], stream: Stream) -> None:
        while chunk := os.read(source.fileno(), _CHUNK_BYTES):
            chunks.put((stream, chunk))
        chunks.put((stream, b""))

    sources: tuple[tuple[IO[bytes], Stream], ...] = ((process.stdout, "stdout"), (process.stderr, "stderr"))
    for source, stream in sources:
        threading.Thread(target=copy, args=(source, stream), daemon=True).start()
    remaining = len(sources)
    while remaining:
        stream, chunk = chunks.get()
        if chunk:
            yield stream, chunk
        else:
            remaining -= 1
