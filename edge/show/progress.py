"""Progress of a run on standard error: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.text import Text

from edge.run.events import STACK_TYPE, ResourceChange, Step
from edge.show.render import SIGNS, console

_SHOWN_RUNNING = 12
_REFRESHES_PER_SECOND = 8
_INTERRUPT_NOTICES = (
    "stopping after the steps that are running (^C again stops at once)",
    "stopping at once: steps that were running may be repeated later",
    "killed",
)


class Progress(Protocol):
    """Takes the steps of one run."""

    def step(self, step: Step) -> None: ...
    def interrupted(self, times: int) -> None: ...


@contextmanager
def progress(title: str, *, quiet: bool = False, preview: bool = False) -> Iterator[Progress]:
    """Progress of one run. ``quiet`` means no live table. A ``preview`` has no plain lines: the result repeats them."""
    if sys.stderr.isatty() and not quiet:
        live = _Live(title)
        with live:
            yield live
        return
    yield _Lines(steps=not preview)


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


def notice(times: int) -> str:
    """What the nth ^C means."""
    return _INTERRUPT_NOTICES[min(times, len(_INTERRUPT_NOTICES)) - 1]


class _Live:
    """Counts, and the running resources with the seconds that they have taken."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._running: dict[str, tuple[ResourceChange, float]] = {}
        self._done = self._failed = 0
        self._notice = ""
        self._live = Live(
            get_renderable=self._table,
            console=console(stderr=True),
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )

    def __enter__(self) -> None:
        self._live.__enter__()

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def step(self, step: Step) -> None:
        change = step.change
        if change.type == STACK_TYPE:
            return
        if step.status == "running":
            self._running[change.urn] = (change, time.monotonic())
            return
        self._running.pop(change.urn, None)
        if step.status == "failed":
            self._failed += 1
        else:
            self._done += 1

    def interrupted(self, times: int) -> None:
        self._notice = notice(times)

    def _table(self) -> Group:
        running = list(self._running.values())
        failed = f", {self._failed} failed" if self._failed else ""
        lines = [Text(f"{self._title}  {self._done} done, {len(running)} running{failed}", "bold")]
        now = time.monotonic()
        for change, since in running[:_SHOWN_RUNNING]:
            sign, style = SIGNS[change.op]
            lines.append(Text.assemble((f"  {sign} {change.name}  ", style), (f"{now - since:.0f} s", "dim")))
        if len(running) > _SHOWN_RUNNING:
            lines.append(Text(f"    and {len(running) - _SHOWN_RUNNING} more", "dim"))
        if self._notice:
            lines.append(Text(self._notice, "yellow"))
        return Group(*lines)
