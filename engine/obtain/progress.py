"""Progress of the slow steps of getting the engine: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.status import Status

# Without a terminal every line stays, so they are few.
_PLAIN_EVERY_SECONDS = 15.0


def clock(seconds: float) -> str:
    """Elapsed time as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """One slow step. Use as a context manager; call `update` as often as there is news, from any thread."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = stream or sys.stderr
        self._started = time.monotonic()
        self._said = self._started
        self._status: Status | None = None

    def __enter__(self) -> Progress:
        if self._stream.isatty() and not os.environ.get("NO_COLOR"):
            self._status = Console(file=self._stream).status(self._title)
            self._status.start()
        else:
            self._say(self._title + " ...")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    def update(self, detail: str) -> None:
        """Show how far the step is; without a terminal at most every 15 seconds."""
        line = f"{self._title}: {detail} ({clock(self.elapsed)})"
        if self._status is not None:
            self._status.update(line)
        elif time.monotonic() - self._said >= _PLAIN_EVERY_SECONDS:
            self._say(line)

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        print(line, file=self._stream, flush=True)


def say(line: str) -> None:
    """One plain line for the user, on standard error, which leaves standard output to results."""
    print(line, file=sys.stderr, flush=True)
