"""Progress of a run on standard error: a live table on a terminal (``live``), plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from edge.run.events import STACK_TYPE, Step
from edge.show.interrupts import notice
from sitefile.problems import printable

_QUIET_S, _LINE_EACH_S = 2.0, 10.0


class Progress(Protocol):
    """Takes the steps of one run."""

    def step(self, step: Step) -> None: ...
    def interrupted(self, times: int) -> None: ...


@contextmanager
def progress(title: str, *, quiet: bool = False, preview: bool = False) -> Iterator[Progress]:
    """Progress of one run. ``quiet`` means no live table. A ``preview`` has no plain lines: the result repeats them."""
    if sys.stderr.isatty() and not quiet:
        from edge.show.live import LiveTable

        with LiveTable(title) as live:
            yield live
        return
    yield _Lines(steps=not preview)


@contextmanager
def counting(title: str, things: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Progress of many things, such as `hosts probed`: how many are done, of how many. Shown after two seconds."""
    if quiet:
        yield lambda _done, _of: None
        return
    if sys.stderr.isatty():
        from edge.show.live import LiveLine

        with LiveLine(after_s=_QUIET_S) as live:
            yield lambda done, of: live.show(f"{title}  {done} of {of} {things}")
        return
    started, told = time.monotonic(), 0.0

    def tell(done: int, of: int) -> None:
        nonlocal told
        seconds = time.monotonic() - started
        if seconds > _QUIET_S and seconds - told > _LINE_EACH_S:
            told = seconds
            print(printable(f"{title}  {done} of {of} {things}"), file=sys.stderr, flush=True)

    yield tell


class _Lines:
    """A line for each resource that has been changed."""

    def __init__(self, *, steps: bool) -> None:
        self._steps = steps

    def step(self, step: Step) -> None:
        change = step.change
        if not self._steps or step.status == "running" or change.op in ("same", "refresh") or change.type == STACK_TYPE:
            return
        print(f"{step.status:6} {change.op:8} {change.name} ({change.type})", file=sys.stderr, flush=True)

    def interrupted(self, times: int) -> None:
        print(notice(times), file=sys.stderr, flush=True)
