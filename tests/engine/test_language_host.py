"""The thin language host as the engine meets it: a process that serves gRPC, and that goes when it is told to."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from engine.obtain.pin import PULUMI_VERSION
from engine.stand_in import python_environment
from tests.engine.conftest import write_executable

# Generous: these only bound a test that fails.
_DEADLINE_SECONDS = 60
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(python_environment.__file__).parents[2])}
_HOST = [sys.executable, "-P", "-m", "engine.stand_in.language_host"]


@dataclass(frozen=True)
class Host:
    process: subprocess.Popen[str]
    stub: Any

    def end(self, how: signal.Signals) -> int:
        """What the engine does: signal the host's process group, and wait for it and for its output to close."""
        os.killpg(self.process.pid, how)
        assert self.process.stdout is not None
        self.process.stdout.read()
        return self.process.wait(_DEADLINE_SECONDS)


def _tgkill(process: int, thread: int, how: signal.Signals) -> None:
    """Signal one thread of another process; Python has a call for its own threads only."""
    assert ctypes.CDLL(None, use_errno=True).tgkill(process, thread, how) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    process = subprocess.Popen(
        _HOST,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env=_ENVIRONMENT,
        start_new_session=True,
    )
    assert process.stdout is not None
    with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
        yield Host(process, language_pb2_grpc.LanguageRuntimeStub(channel))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    process.stdout.close()


def _info(folder: Path, **options: str) -> language_pb2.ProgramInfo:
    described = struct_pb2.Struct()
    described.update(options)
    return language_pb2.ProgramInfo(
        root_directory=str(folder), program_directory=str(folder), entry_point=".", options=described
    )


def _run(host: Host, folder: Path, interpreter: str, **request: Any) -> Any:
    """Run a program in a virtual environment whose Python is a stand-in with the given code."""
    write_executable(folder / "own" / "bin" / "python", f"#!{sys.executable}\nimport os, signal, sys\n{interpreter}")
    return host.stub.Run.future(
        language_pb2.RunRequest(
            project="p", stack="s", pwd=str(folder), info=_info(folder, virtualenv="own"), **request
        )
    )


def _waiting_plugin(host: Host, folder: Path) -> tuple[Any, TextIO]:
    """The open call of a plugin that has started and waits for ever, and a file that ends when the plugin does."""
    held = folder / "held"
    os.mkfifo(held)
    program = f"import signal\nprint(4242)\nheld = open({str(held)!r}, 'w')\nsignal.pause()\n"
    (folder / "__main__.py").write_text(program)
    output = host.stub.RunPlugin(language_pb2.RunPluginRequest(info=_info(folder), kind="resource", pwd=str(folder)))
    assert next(output).stdout.startswith(b"4242")
    return output, open(held)


def test_the_host_reports_the_sdks_version_so_that_the_engine_does_not_warn(host: Host) -> None:
    assert host.stub.GetPluginInfo(empty_pb2.Empty()).version == PULUMI_VERSION


def test_no_plugin_is_asked_for_up_front(host: Host, tmp_path: Path) -> None:
    request = language_pb2.GetRequiredPackagesRequest(info=_info(tmp_path))
    assert not host.stub.GetRequiredPackages(request).packages


def test_about_names_the_interpreter_that_runs_programs(host: Host, tmp_path: Path) -> None:
    answer = host.stub.About(language_pb2.AboutRequest(info=_info(tmp_path)))
    assert answer.executable == sys.executable


def test_direct_dependencies_leave_out_what_others_require(host: Host, tmp_path: Path) -> None:
    def names(transitive: bool) -> set[str]:
        request = language_pb2.GetProgramDependenciesRequest(info=_info(tmp_path), transitiveDependencies=transitive)
        return {one.name for one in host.stub.GetProgramDependencies(request).dependencies}

    assert "grpcio" in names(True)
    assert "grpcio" not in names(False), "pulumi requires it"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_host_ends_at_the_signal(host: Host, how: signal.Signals) -> None:
    assert host.end(how) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="tgkill is Linux's")
def test_a_signal_that_the_system_gives_to_another_thread_ends_the_host_as_well(host: Host) -> None:
    host.stub.GetPluginInfo(empty_pb2.Empty())
    others = [int(task.name) for task in Path(f"/proc/{host.process.pid}/task").iterdir()]
    others.remove(host.process.pid)
    assert others, "gRPC has threads of its own"
    _tgkill(host.process.pid, max(others), signal.SIGINT)
    assert host.process.wait(_DEADLINE_SECONDS) == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_host_with_a_waiting_policy_pack_ends_at_the_signal_and_takes_the_pack_along(
    host: Host, tmp_path: Path, how: signal.Signals
) -> None:
    # As after a mandatory violation: the engine closes while calls are still open. A server that joined the threads of
    # these calls would never end, and the engine would kill it after five seconds.
    _, life = _waiting_plugin(host, tmp_path)
    with life:
        assert host.end(how) == 0
        assert life.read() == "", "the plugin's side closes when it ends"


def test_a_host_with_a_program_that_ignores_interrupts_ends_at_the_signal(host: Host, tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    reader = os.open(started, os.O_RDONLY | os.O_NONBLOCK)
    code = f"signal.signal(signal.SIGINT, signal.SIG_IGN)\nopen({str(started)!r}, 'w').write('1')\nsignal.pause()\n"
    call = _run(host, tmp_path, code)
    assert select.select([reader], [], [], _DEADLINE_SECONDS)[0], "the program has not started"
    os.close(reader)
    assert host.end(signal.SIGINT) == 0
    with pytest.raises(grpc.RpcError):
        call.result(_DEADLINE_SECONDS)


def test_a_host_ends_when_its_engine_is_gone() -> None:
    # An engine that was killed sends no signal. The host's output closes only when the host has ended too.
    engine = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.Popen(sys.argv[1:]); sys.stdin.read()", *_HOST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_ENVIRONMENT,
        start_new_session=True,
    )
    assert engine.stdout is not None
    try:
        assert int(engine.stdout.readline()) > 0
        engine.kill()
        engine.wait()
        closed, _, _ = select.select([engine.stdout], [], [], _DEADLINE_SECONDS)
        assert closed
        assert engine.stdout.read() == b""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(engine.pid, signal.SIGKILL)
        engine.communicate()


def test_dropping_the_call_ends_the_plugin(host: Host, tmp_path: Path) -> None:
    output, life = _waiting_plugin(host, tmp_path)
    with life:
        output.cancel()
        assert life.read() == "", "the plugin's side closes when it ends"


def test_a_plugins_output_and_exit_code_come_through(host: Host, tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(7)\n")
    request = language_pb2.RunPluginRequest(info=_info(tmp_path), kind="resource", pwd=str(tmp_path))
    chunks = list(host.stub.RunPlugin(request))
    assert b"".join(chunk.stdout for chunk in chunks) == b"out\n"
    assert b"".join(chunk.stderr for chunk in chunks) == b"err\n"
    assert chunks[-1].exitcode == 7


def test_a_plugin_sees_the_environment_that_the_engine_sends(host: Host, tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import os\nprint(os.environ['EDGE_TEST'])\n")
    request = language_pb2.RunPluginRequest(
        info=_info(tmp_path), kind="resource", pwd=str(tmp_path), env=["EDGE_TEST=a=b", f"PATH={os.environ['PATH']}"]
    )
    assert b"".join(chunk.stdout for chunk in host.stub.RunPlugin(request)) == b"a=b\n"


@pytest.mark.parametrize(
    ("code", "error", "bail"),
    [
        ("sys.exit(0)", "", False),
        ("sys.exit(32)", "", True),
        ("sys.exit(3)", "the program ended with exit code 3", False),
        ("os.kill(os.getpid(), 9)", "the program was ended by signal 9", False),
    ],
)
def test_the_end_of_a_program_becomes_the_engines_answer(
    host: Host, tmp_path: Path, code: str, error: str, bail: bool
) -> None:
    response = _run(host, tmp_path, code).result(_DEADLINE_SECONDS)
    assert (response.error, response.bail) == (error, bail)


def test_configuration_is_neither_in_the_programs_arguments_nor_in_its_environment(host: Host, tmp_path: Path) -> None:
    code = (
        "shown = open('/proc/self/cmdline').read() + open('/proc/self/environ').read()\n"
        "open('shown', 'w').write(shown)\nopen('told', 'w').write(sys.stdin.read())\n"
    )
    _run(
        host,
        tmp_path,
        f"os.chdir({str(tmp_path)!r})\n{code}",
        config={"p:token": "marker-value"},
        configSecretKeys=["p:token"],
    ).result(_DEADLINE_SECONDS)
    told = json.loads((tmp_path / "told").read_text())
    assert (told["config"], told["secret_keys"]) == ({"p:token": "marker-value"}, ["p:token"])
    assert "program_exec.py" in (tmp_path / "shown").read_text()
    assert "marker-value" not in (tmp_path / "shown").read_text()


def test_a_pack_lets_the_program_start_early_and_the_program_is_run_once(host: Host, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    code = f"open({str(starts)!r}, 'a').write(os.path.basename(sys.argv[-1]) + ' ')\nsys.stdin.readline()\n"
    write_executable(tmp_path / "own" / "bin" / "python", f"#!{sys.executable}\nimport os, sys\n{code}")
    info = _info(tmp_path, virtualenv="own")
    list(host.stub.RunPlugin(language_pb2.RunPluginRequest(info=info, kind="analyzer", pwd=str(tmp_path))))
    run = language_pb2.RunRequest(project="p", stack="s", pwd=str(tmp_path), info=info)
    assert not host.stub.Run(run).error
    assert sorted(starts.read_text().split()) == ["policy_exec.py", "program_exec.py"]


def test_a_virtual_environment_is_taken_relative_to_the_project_and_its_absence_forgiven(tmp_path: Path) -> None:
    assert python_environment.interpreter(".venv", str(tmp_path)) == Path(sys.executable)
    python = tmp_path / "own" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert python_environment.interpreter("../own", str(tmp_path / "pack")) == python


def test_a_virtual_environment_is_activated_for_what_runs_in_it(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    (tmp_path / "pyvenv.cfg").touch()
    environment = python_environment.activated(python, {"PATH": "/usr/bin", "PYTHONHOME": "/elsewhere"})
    assert environment["PATH"] == f"{python.parent}:/usr/bin"
    assert environment["VIRTUAL_ENV"] == str(tmp_path)
    assert "PYTHONHOME" not in environment
