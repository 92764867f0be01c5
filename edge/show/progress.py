"""What happens, while it happens, on standard error: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from edge.run.events import STACK_TYPE, ResourceChange, Step

if TYPE_CHECKING:
    from rich.console import Console, Group

_SHOWN_RUNNING = 12
_REFRESHES_PER_SECOND = 8
_INTERRUPT_NOTICES = (
    "stopping: what is under way is finished first (^C again stops at once)",
    "stopping at once: what was under way may have to be repeated",
    "ended",
)


class Progress(Protocol):
    """Takes the steps of one run."""

    def step(self, step: Step) -> None: ...
    def interrupted(self, times: int) -> None: ...


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Progress]:
    """Progress of one run. ``quiet`` leaves out resources that stay as they are, on plain output."""
    if sys.stderr.isatty() and not quiet:
        live = _Live(title)
        with live:
            yield live
        return
    yield _Lines()


class _Lines:
    """A line for each resource that has been changed."""

    def step(self, step: Step) -> None:
        change = step.change
        if step.status == "running" or change.op in ("same", "refresh") or change.type == STACK_TYPE:
            return
        print(f"{step.status:6} {change.op:8} {change.name} ({change.type})", file=sys.stderr, flush=True)

    def interrupted(self, times: int) -> None:
        print(notice(times), file=sys.stderr, flush=True)


def notice(times: int) -> str:
    """What the nth ^C means."""
    return _INTERRUPT_NOTICES[min(times, len(_INTERRUPT_NOTICES)) - 1]


class _Live:
    """Counts, and the resources that are being worked on with the seconds that they have taken."""

    def __init__(self, title: str) -> None:
        from rich.live import Live

        from edge.show.render import console

        self._title = title
        self._running: dict[str, tuple[ResourceChange, float]] = {}
        self._done = self._failed = 0
        self._notice = ""
        self._console: Console = console(stderr=True)
        self._live = Live(
            get_renderable=self._table,
            console=self._console,
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
        from rich.console import Group
        from rich.text import Text

        from edge.show.render import SIGNS

        running = list(self._running.values())
        failed = f", {self._failed} failed" if self._failed else ""
        lines = [Text(f"{self._title}  {self._done} done, {len(running)} under way{failed}", "bold")]
        now = time.monotonic()
        for change, since in running[:_SHOWN_RUNNING]:
            sign, style = SIGNS[change.op]
            lines.append(Text.assemble((f"  {sign} {change.name}  ", style), (f"{now - since:.0f} s", "dim")))
        if len(running) > _SHOWN_RUNNING:
            lines.append(Text(f"    and {len(running) - _SHOWN_RUNNING} more", "dim"))
        if self._notice:
            lines.append(Text(self._notice, "yellow"))
        return Group(*lines)
