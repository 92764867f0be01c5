"""One command on many sites: progress on standard error, then what is to be said of each, and one line at the end.

With `--json`, standard output is a stream instead: one document on each line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from components.consequence import Effect
from edge.exit_codes import DONE, INTERRUPTED
from edge.run.many import Progress, Result, Summary, Watch
from edge.show import render
from edge.show.consequences import consequences
from edge.show.interrupts import notice
from edge.show.lines import paragraph
from edge.show.render import console, remedies
from sitefile.problems import printable

_SHOWN_RUNNING = 12
_REFRESHES_PER_SECOND = 4
_FAILED_LISTED = 50


@contextmanager
def watching(command: str, sites: Sequence[str], *, as_json: bool) -> Iterator[Watch]:
    """Sees what happens. On a terminal a live table, elsewhere a line for each site that has ended."""
    if as_json:
        yield _Stream(command, sites)
    elif sys.stderr.isatty():
        with _Live(command, len(sites)) as live:
            yield live
    else:
        yield _Lines(len(sites))


def print_event(event: str, **more: Any) -> None:
    """One line of the stream."""
    typer.echo(json.dumps({"event": event, **more}, ensure_ascii=False))


class _Stream:
    """Each event as a line of JSON on standard output."""

    def __init__(self, command: str, sites: Sequence[str]) -> None:
        print_event("begin", operation=command, sites=list(sites))

    def begun(self, site: str) -> None:
        print_event("start", site=site)

    def progress(self, site: str, progress: Progress) -> None:
        print_event("progress", site=site, **asdict(progress))

    def ended(self, result: Result) -> None:
        print_event("end", site=result.site, exit=result.code, result=result.document)

    def interrupted(self, times: int) -> None:
        print(notice(times), file=sys.stderr, flush=True)


class _Lines:
    """A line for each site that has ended."""

    def __init__(self, sites: int) -> None:
        self._sites = sites
        self._done = 0

    def begun(self, site: str) -> None:
        """Said at its end only."""

    def progress(self, site: str, progress: Progress) -> None:
        """Too much for lines."""

    def ended(self, result: Result) -> None:
        self._done += 1
        said = f"failed: {result.why}" if result.code else "done"
        print(printable(f"{self._done}/{self._sites} {result.site} {said}"), file=sys.stderr, flush=True)

    def interrupted(self, times: int) -> None:
        print(notice(times), file=sys.stderr, flush=True)


class _Live:
    """Counts, and the sites that are being worked on, with the seconds that they have taken."""

    def __init__(self, command: str, sites: int) -> None:
        self._command, self._sites = command, sites
        self._running: dict[str, tuple[Progress, float]] = {}
        self._done = self._failed = 0
        self._notice = ""
        self._live = Live(
            get_renderable=self._table,
            console=console(stderr=True),
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> _Live:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def begun(self, site: str) -> None:
        self._running[site] = (Progress(), time.monotonic())

    def progress(self, site: str, progress: Progress) -> None:
        self._running[site] = (progress, self._running[site][1])

    def ended(self, result: Result) -> None:
        self._running.pop(result.site, None)
        self._done += 1
        self._failed += result.code not in (DONE, INTERRUPTED)

    def interrupted(self, times: int) -> None:
        self._notice = notice(times)

    def _table(self) -> Group:
        # Taken at once: the table is drawn by a thread of its own.
        running, now = list(self._running.items()), time.monotonic()
        failed = f", {self._failed} failed" if self._failed else ""
        lines = [Text(f"{self._command}  {self._done} of {self._sites} sites done{failed}", "bold")]
        for site, (progress, since) in running[:_SHOWN_RUNNING]:
            steps = f"{progress.done} done, {progress.running} running" if progress != Progress() else "starts"
            lines.append(Text.assemble(f"  {site}  {steps}  ", (f"{now - since:.0f} s", "dim")))
        if len(running) > _SHOWN_RUNNING:
            lines.append(Text(f"    and {len(running) - _SHOWN_RUNNING} more", "dim"))
        if self._notice:
            lines.append(Text(self._notice, "yellow"))
        return Group(*lines)


def changes(out: Console, summary: Summary, *, diff: bool = False) -> None:
    """What a preview or an `up` of many sites has found: first what destroys or interrupts, then what changes."""
    for one in summary.results:
        if any(found.effect is not Effect.HARMLESS for found in one.consequences):
            out.print(Text(one.site, "bold"))
            consequences(out, one.consequences)
    width = max((len(one.site) for one in summary.results), default=0)
    for one in summary.results:
        if one.code == DONE and one.changes:
            if diff and one.outcome is not None:
                render.outcome(out, one.outcome, diff=True)
            else:
                out.print(Text.assemble((f"  {one.site:{width}}", "bold"), f"  {_counted(one.counts)}"))


def sites(out: Console, summary: Summary, show: Callable[[Console, Result], None]) -> None:
    """What each site has to say, below its name."""
    for one in summary.results:
        if one.code == DONE:
            out.print(Text(one.site, "bold"))
            show(out, one)


def closing(out: Console, summary: Summary, again: str) -> None:
    """Which sites failed and why, and how many. ``again`` is the command that shows all of one site."""
    bad = [one for one in summary.results if one.code != DONE]
    for one in bad[:_FAILED_LISTED]:
        if one.started:
            word, style = ("failed", "bold red") if one.code != INTERRUPTED else ("stopped", "yellow")
            out.print(Text.assemble((f"  {word}  ", style), (f"{one.site}: ", "bold"), one.why))
    if len(bad) > _FAILED_LISTED:
        paragraph(out, f"and {len(bad) - _FAILED_LISTED} more; --json names all", "red")
    if any(one.started for one in bad):
        remedies(out, (f"{again}     shows all of one site",))
    out.print(Text(line(summary), style="bold red" if summary.code else "bold green"))


def line(summary: Summary) -> str:
    """The last line."""
    if not summary.results:
        return "no site has changed: nothing was done"
    counts = summary.sites
    total = f"{counts['all']} site{'' if counts['all'] == 1 else 's'}"
    parts = []
    if (changed := counts.get("changed")) is not None:
        word = "changed" if summary.command == "up" else "to change"
        parts += [f"{changed} {word}"] if changed else []
        parts += [f"{counts['succeeded'] - changed} as planned already"] if counts["succeeded"] > changed else []
    elif counts["succeeded"]:
        parts.append(f"{counts['succeeded']} done")
    for key in ("failed", "interrupted", "not_started"):
        parts += [f"{counts[key]} {key.replace('_', ' ')}"] if counts[key] else []
    resources = _counted({op: number for op, number in summary.resources.items() if op != "same"})
    more = f"{resources}, " if resources else ""
    return f"{total}: {', '.join(parts)} ({more}{summary.duration_s:.1f} s)"


def json_closing(summary: Summary) -> None:
    """The last line of the stream."""
    print_event("summary", **summary.as_dict())


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {op}" for op, number in counts.items() if number)
