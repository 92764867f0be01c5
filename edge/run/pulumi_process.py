"""One run of the `pulumi` executable: its lines as they are printed, its exit code, and what ^C does.

Owns the process and the signals. The process has a process group of its own, so that a ^C at the terminal reaches it
once, through this module: the first ^C asks it to stop after the steps that are running, the second to stop now, and
the third kills it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from edge.run.surroundings import temporary_folder, without_dead_agent

STACK_NOT_FOUND = 6
"""Exit code of `pulumi` when the stack does not exist yet."""

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACEFUL_ATTEMPTS = 2
_END = 0


@dataclass(frozen=True)
class Finished:
    """How a run ended. ``stderr`` has the messages of the CLI itself; those of the engine are events."""

    code: int
    stderr: str
    interrupts: int = 0
    """How often it was asked to stop."""


@dataclass(frozen=True)
class PulumiProcess:
    """Where `pulumi` runs, and with which environment."""

    executable: Path
    folder: Path
    variables: Mapping[str, str]
    """In addition to this process's environment."""

    def run(
        self,
        arguments: Sequence[str],
        on_line: Callable[[str], None] | None = None,
        on_interrupt: Callable[[int], None] | None = None,
        stdin: str | None = None,
    ) -> Finished:
        """Run to the end.

        ``on_line`` gets each line of standard output, ``on_interrupt`` the number of the ^C, in a thread of its own.
        ``stdin`` is what the process reads: the way of a secret, which is in no argument.
        """
        command = [str(self.executable), "--non-interactive", "--color", "never", *arguments]
        environment = without_dead_agent({**os.environ, **self.variables, "PULUMI_AUTOMATION_API": "true"})
        # A file, not a pipe: a pipe that nobody reads meanwhile could fill up and block the process.
        with (
            temporary_folder() as scratch,
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr,
            _forwarding(on_interrupt) as interrupts,
        ):
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**environment, "TMPDIR": str(scratch)},
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
                errors="replace",
                process_group=0,
            )
            interrupts.reach(process)
            if process.stdin is not None:
                # Where it ends before it has read all, its exit code says so.
                with contextlib.suppress(BrokenPipeError), process.stdin:
                    process.stdin.write(stdin or "")
            assert process.stdout is not None
            for line in process.stdout:
                if on_line is not None:
                    on_line(line)
            process.stdout.close()
            code = process.wait()
            stderr.seek(0)
            return Finished(code, stderr.read().strip(), interrupts=interrupts.count)


@dataclass
class _Interrupts:
    """Signals that asked this process to stop, and the process that they are passed on to."""

    counted: queue.SimpleQueue[int]
    """Gets the number of each signal. Nothing is printed in the handler: it may interrupt another print."""
    count: int = 0
    process: subprocess.Popen[str] | None = None
    """None until it has been started."""
    _missed: bool = False

    def reach(self, process: subprocess.Popen[str]) -> None:
        """The process has been started; a signal that came before is passed on now."""
        self.process = process
        if self._missed:
            self._pass_on()

    def take(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.counted.put(self.count)
        self._pass_on()

    def _pass_on(self) -> None:
        if self.process is None:
            self._missed = True
        elif self.count <= _GRACEFUL_ATTEMPTS:
            # Does nothing where the process has ended.
            self.process.send_signal(signal.SIGINT)
        elif self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)


@contextmanager
def _forwarding(on_interrupt: Callable[[int], None] | None) -> Iterator[_Interrupts]:
    """Within this context, signals that ask this process to stop are passed on, and it waits for the other's end.

    SIGHUP stays ignored where it was ignored before (`nohup`). SIGINT never stays ignored, as in
    `pulumi` itself: the process would inherit that (from `&` in a script), and could not be stopped any more.
    """
    counted: queue.SimpleQueue[int] = queue.SimpleQueue()
    interrupts = _Interrupts(counted)
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    taken = [number for number in _STOPPING if not (ignored and number == signal.SIGHUP)]
    before = {number: signal.signal(number, interrupts.take) for number in taken}
    reporter = threading.Thread(target=_report, args=(counted, on_interrupt), name="interrupts", daemon=True)
    reporter.start()
    try:
        yield interrupts
    except BaseException:
        if interrupts.process is not None:
            interrupts.process.kill()
            interrupts.process.wait()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        counted.put(_END)
        reporter.join()


def _report(counted: queue.SimpleQueue[int], on_interrupt: Callable[[int], None] | None) -> None:
    for count in iter(counted.get, _END):
        if on_interrupt is not None:
            on_interrupt(count)
