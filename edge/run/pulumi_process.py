"""One run of the `pulumi` executable: its lines as they come, its exit code, and what ^C means for it.

Owns the process and the signals. It knows no command and no event. The process is started in a group of its own, so
that ^C reaches it once and from here: the first asks it to stop after what is under way, the second to stop now, the
third ends it.
"""

from __future__ import annotations

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

STACK_NOT_FOUND = 6
"""Exit code of `pulumi` when the stack does not exist yet."""

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACEFUL_ATTEMPTS = 2
_END = 0


@dataclass(frozen=True)
class Finished:
    """How a run ended. ``stderr`` holds what the CLI itself had to say, as opposed to the engine."""

    code: int
    stderr: str
    interrupts: int = 0
    """How often it was asked to stop."""


@dataclass(frozen=True)
class PulumiProcess:
    """Where and with what environment `pulumi` runs."""

    executable: Path
    folder: Path
    variables: Mapping[str, str]
    """On top of this process's environment."""

    def run(
        self,
        arguments: Sequence[str],
        on_line: Callable[[str], None] | None = None,
        on_interrupt: Callable[[int], None] | None = None,
        on_start: Callable[[Callable[[], None]], None] | None = None,
    ) -> Finished:
        """Run to the end.

        ``on_line`` gets each line of standard output, ``on_interrupt`` the number of the ^C, in a thread of its own.
        ``on_start`` is called when the process has been started, and must not take long. It gets what asks the process
        to stop, for any thread, where nobody pressed ^C.
        """
        command = [str(self.executable), "--non-interactive", "--color", "never", *arguments]
        environment = {**os.environ, **self.variables, "PULUMI_AUTOMATION_API": "true"}
        # A file, not a pipe: nobody has to read it while the lines of standard output are being read.
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr,
            _forwarding(on_interrupt) as interrupts,
        ):
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
                errors="replace",
                process_group=0,
            )
            interrupts.reach(process)
            if on_start is not None:
                on_start(lambda: process.send_signal(signal.SIGINT))
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
    """Signals that asked this process to stop, and who is asked in turn."""

    told: queue.SimpleQueue[int]
    """Gets how many there have been. Nothing is said here: a signal may come in the midst of another word."""
    count: int = 0
    process: subprocess.Popen[str] | None = None
    """None until it has been started."""
    _missed: bool = False

    def reach(self, process: subprocess.Popen[str]) -> None:
        """It has been started, and is asked what nobody could be asked before."""
        self.process = process
        if self._missed:
            self._pass_on()

    def take(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.told.put(self.count)
        self._pass_on()

    def _pass_on(self) -> None:
        if self.process is None:
            self._missed = True
        elif self.count <= _GRACEFUL_ATTEMPTS:
            # Nothing, where it has ended by itself.
            self.process.send_signal(signal.SIGINT)
        elif self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)


@contextmanager
def _forwarding(on_interrupt: Callable[[int], None] | None) -> Iterator[_Interrupts]:
    """While this holds, signals that ask this process to stop are passed on, and it waits for the other's end.

    A terminal that closes is ignored by whoever was started so (`nohup`). ^C's signal never is, as `pulumi` has it: the
    other would inherit that (from `&` in a script), and nobody could ask it to stop any more.
    """
    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    interrupts = _Interrupts(told)
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    deaf = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    taken = [number for number in _STOPPING if not (deaf and number == signal.SIGHUP)]
    before = {number: signal.signal(number, interrupts.take) for number in taken}
    teller = threading.Thread(target=_tell, args=(told, on_interrupt), name="interrupts", daemon=True)
    teller.start()
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
        told.put(_END)
        teller.join()


def _tell(told: queue.SimpleQueue[int], on_interrupt: Callable[[int], None] | None) -> None:
    for count in iter(told.get, _END):
        if on_interrupt is not None:
            on_interrupt(count)
