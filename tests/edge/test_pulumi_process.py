from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.run.pulumi_process import PulumiProcess

# Waits to be interrupted as often as it needs, and says so each time. No interrupt is lost: they are taken one by one.
_PATIENT = f"""#!{sys.executable}
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
for number in range(int(os.environ["NEEDED"])):
    signal.sigwait([signal.SIGINT])
    print("interrupt", number + 1, flush=True)
sys.exit("error: canceled")
"""


def handled(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def at_a_terminal() -> Iterator[None]:
    """Signals as a shell leaves them to a command, however the tests were started."""
    yield from handled({signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL})


@pytest.fixture
def in_the_background(at_a_terminal: None) -> Iterator[None]:
    """Signals as `nohup ... &` of a script leaves them: deaf to ^C and to a terminal that closes."""
    yield from handled(dict.fromkeys((signal.SIGINT, signal.SIGHUP), signal.SIG_IGN))


def executable(folder: Path, body: str) -> Path:
    path = folder / "pulumi"
    path.write_text(body)
    path.chmod(0o755)
    return path


def test_lines_come_as_they_are_printed_and_the_rest_at_the_end(tmp_path: Path) -> None:
    path = executable(tmp_path, '#!/bin/bash\necho "$*"; echo "$MARK"; pwd; echo oops >&2; exit 7\n')
    lines: list[str] = []
    finished = PulumiProcess(path, tmp_path, {"MARK": "mine"}).run(["preview", "--json"], lines.append)
    assert lines == ["--non-interactive --color never preview --json\n", "mine\n", f"{tmp_path}\n"]
    assert (finished.code, finished.stderr, finished.interrupts) == (7, "oops", 0)


def test_an_interrupt_is_passed_on_once_and_the_end_waited_for(tmp_path: Path) -> None:
    path = executable(tmp_path, _PATIENT)
    seen: list[int] = []
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line.strip())
        if line == "ready\n":
            os.kill(os.getpid(), signal.SIGINT)

    finished = PulumiProcess(path, tmp_path, {"NEEDED": "1"}).run([], on_line, seen.append)
    assert lines == ["ready", "interrupt 1"]
    assert seen == [1]
    assert finished.interrupts == 1
    assert finished.stderr == "error: canceled"


def test_an_interrupt_that_comes_before_there_is_a_process_is_passed_on_once_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    finished = PulumiProcess(executable(tmp_path, "#!/bin/sh\nexec sleep 600\n"), tmp_path, {}).run([])
    assert (finished.code, finished.interrupts) == (-signal.SIGINT, 1)


def test_an_interrupt_is_reported_outside_of_the_signal_handler(tmp_path: Path) -> None:
    saying = threading.Lock()
    said: list[bool] = []

    def on_line(line: str) -> None:
        if line == "ready\n":
            with saying:
                os.kill(os.getpid(), signal.SIGINT)

    def on_interrupt(_number: int) -> None:
        said.append(saying.acquire(timeout=5))
        saying.release()

    PulumiProcess(executable(tmp_path, _PATIENT), tmp_path, {"NEEDED": "1"}).run([], on_line, on_interrupt)
    assert said == [True]


def test_the_third_interrupt_ends_a_process_that_does_not_listen(tmp_path: Path) -> None:
    path = executable(tmp_path, _PATIENT)

    def on_line(line: str) -> None:
        if line == "ready\n" or line.startswith("interrupt"):
            os.kill(os.getpid(), signal.SIGINT)

    finished = PulumiProcess(path, tmp_path, {"NEEDED": "99"}).run([], on_line)
    assert finished.code == -signal.SIGKILL
    assert finished.interrupts == 3


def test_signal_handlers_are_what_they_were_afterwards(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    PulumiProcess(executable(tmp_path, "#!/bin/sh\n"), tmp_path, {}).run([])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.usefixtures("in_the_background")
def test_in_the_background_a_closing_terminal_is_nothing_and_it_can_still_be_asked_to_stop(tmp_path: Path) -> None:
    path = executable(tmp_path, _PATIENT)

    def on_line(line: str) -> None:
        if line == "ready\n":
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGINT)

    finished = PulumiProcess(path, tmp_path, {"NEEDED": "1"}).run([], on_line)
    assert (finished.stderr, finished.interrupts) == ("error: canceled", 1)


@pytest.mark.usefixtures("in_the_background")
def test_what_is_started_in_the_background_is_not_deaf(tmp_path: Path) -> None:
    path = executable(tmp_path, "#!/bin/bash\ntrap 'exit 3' INT\necho ready\nread -r -u 3 3<>wait\n")
    os.mkfifo(tmp_path / "wait")
    run = PulumiProcess(path, tmp_path, {}).run([], lambda _: os.kill(os.getpid(), signal.SIGINT))
    assert (run.code, run.interrupts) == (3, 1)


def test_nothing_can_be_asked_of_the_user(tmp_path: Path) -> None:
    path = executable(tmp_path, "#!/bin/bash\nread -r answer || echo nobody\n")
    lines: list[str] = []
    PulumiProcess(path, tmp_path, {}).run([], lines.append)
    assert lines == ["nobody\n"]
