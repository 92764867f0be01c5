"""What moves on a terminal: the table of a run, and a line that counts."""

from __future__ import annotations

import time

from rich.console import Group
from rich.live import Live
from rich.text import Text

from edge.run.events import STACK_TYPE, ResourceChange, Step
from edge.show.interrupts import notice
from edge.show.render import SIGNS, console

_SHOWN_RUNNING = 12
_REFRESHES_PER_SECOND = 8


class LiveLine:
    """One line, which appears once there has been something to wait for."""

    def __init__(self, *, after_s: float) -> None:
        line, started = Text(), time.monotonic()
        self._line = line
        self._live = Live(
            get_renderable=lambda: line if time.monotonic() - started > after_s else Text(),
            console=console(stderr=True),
            transient=True,
        )

    def __enter__(self) -> LiveLine:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, text: str) -> None:
        self._line.plain = text


class LiveTable:
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

    def __enter__(self) -> LiveTable:
        self._live.__enter__()
        return self

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
