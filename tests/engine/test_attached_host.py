"""Programs and policy packs inside the process that drives the engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pulumi
import pytest
from google.protobuf import empty_pb2
from pulumi import log
from pulumi.runtime import stack as sdk_stack
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from engine.environment import environment, file_backend
from engine.obtain.cli import locate
from engine.rehearsal import RehearsalServer
from engine.stand_in import attached_host, late_grpc, runners
from engine.stand_in.attached_host import attached
from engine.stand_in.quick_sdk import wait_for_rpcs

# Generous: these only bound a test that fails.
_DEADLINE_SECONDS = 60


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attached_host, "is_our_shim", lambda _path: True)


def packs() -> list[psutil.Process]:
    """The processes below this one that wait for a policy pack."""
    return [one for one in psutil.Process().children() if str(runners.PACK) in one.cmdline()]


def _fails(what: str) -> str:
    raise KeyError(f"no {what}")


@pytest.mark.engine
def test_an_output_that_fails_fails_the_run_and_says_why(tmp_path: Path) -> None:
    def program() -> None:
        pulumi.export("waits", pulumi.Output.from_input("uplink").apply(_fails))

    done = preview(program, tmp_path)
    assert done.returncode != 0
    assert "KeyError: 'no uplink'" in done.stdout + done.stderr


@pytest.mark.engine
def test_a_program_runs_in_this_process(tmp_path: Path) -> None:
    here = []
    done = preview(lambda: here.append(os.getpid()), tmp_path)
    assert done.returncode == 0, done.stderr
    assert here == [os.getpid()]


def preview(program: Callable[[], None], folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "state").mkdir()
    (folder / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
    with RehearsalServer() as server, attached(program, with_pack=False) as host:
        variables = environment(rehearsal=server.debug_providers, backend=file_backend(folder / "state"))
        pulumi_cli, everything = str(locate().path), {**os.environ, **variables, **host.variables}
        subprocess.run([pulumi_cli, "stack", "init", "one"], cwd=folder, env=everything, check=True)
        return subprocess.run(
            [pulumi_cli, "preview", "--stack", "one", "--non-interactive", *host.arguments],
            cwd=folder,
            env=everything,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_SECONDS,
            check=False,
        )


@pytest.mark.usefixtures("thin")
def test_a_pack_is_started_at_once_and_ended_with_the_host() -> None:
    with attached(lambda: None, with_pack=True):
        (pack,) = packs()
        assert os.getpgid(pack.pid) != os.getpgid(0), "a terminal's ^C is for the engine to pass on"
    psutil.wait_procs([pack], timeout=_DEADLINE_SECONDS)
    assert not packs()


@pytest.mark.usefixtures("thin")
def test_without_a_pack_no_process_is_started() -> None:
    with attached(lambda: None, with_pack=False):
        assert not packs()


def test_an_official_host_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attached_host, "is_our_shim", lambda _path: False)
    with attached(lambda: None, with_pack=True) as host:
        assert host.variables == {}
        assert not packs()


@pytest.mark.usefixtures("thin")
def test_the_sdk_is_as_it_was_when_the_host_has_gone() -> None:
    debug, waits = log.debug, sdk_stack.wait_for_rpcs
    with attached(lambda: None, with_pack=False) as host:
        client = host.arguments[0].partition("=")[2]
        with grpc.insecure_channel(client) as channel:
            language_pb2_grpc.LanguageRuntimeStub(channel).GetPluginInfo(empty_pb2.Empty())
        assert sdk_stack.wait_for_rpcs is wait_for_rpcs
    assert (log.debug, sdk_stack.wait_for_rpcs) == (debug, waits)


def test_a_pack_ends_when_its_host_is_gone(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(3600)\n")
    pack = subprocess.Popen(
        [sys.executable, "-u", "-P", str(runners.PACK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert pack.stdin is not None
    assert pack.stdout is not None
    request = {"arguments": ["engine", str(tmp_path)], "folder": str(tmp_path), "environment": dict(os.environ)}
    pack.stdin.write(json.dumps(request).encode() + b"\n")
    pack.stdin.flush()
    assert pack.stdout.readline() == b"up\n"
    pack.stdin.close()
    assert pack.wait(_DEADLINE_SECONDS) == 0


def test_a_pack_that_is_never_asked_for_ends_with_its_input(tmp_path: Path) -> None:
    pack = subprocess.run(
        [sys.executable, "-P", str(runners.PACK)], stdin=subprocess.DEVNULL, cwd=tmp_path, check=False
    )
    assert pack.returncode == 0


def test_a_service_is_made_at_the_first_call_and_once() -> None:
    made = []

    class Service(language_pb2_grpc.LanguageRuntimeServicer):
        def Cancel(self, request: object, context: object) -> empty_pb2.Empty:  # noqa: N802
            return empty_pb2.Empty()

    def register(server: object) -> None:
        made.append(server)
        language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Service(), server)

    server, port = late_grpc.serve(register, ThreadPoolExecutor(2))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = language_pb2_grpc.LanguageRuntimeStub(channel)
        assert made == []
        for _ in range(3):
            stub.Cancel(empty_pb2.Empty())
    server.stop(None).wait()
    assert len(made) == 1


def test_what_is_always_answered_alike_does_not_wait_for_its_service() -> None:
    may_go_on = threading.Event()

    def register(server: object) -> None:
        may_go_on.wait(_DEADLINE_SECONDS)
        language_pb2_grpc.add_LanguageRuntimeServicer_to_server(language_pb2_grpc.LanguageRuntimeServicer(), server)

    server, port = late_grpc.serve(register, ThreadPoolExecutor(2), constant={"/pulumirpc.LanguageRuntime/About": b""})
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = language_pb2_grpc.LanguageRuntimeStub(channel)
        answer = stub.About(language_pb2.AboutRequest(), timeout=_DEADLINE_SECONDS)
        assert answer == language_pb2.AboutResponse()
        may_go_on.set()
        with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
            stub.Cancel(empty_pb2.Empty(), timeout=_DEADLINE_SECONDS)
    server.stop(None).wait()
