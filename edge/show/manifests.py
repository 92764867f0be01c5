"""`edge check --manifests` in a terminal: what could not be read, what was found, then one line."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from edge.run.manifests import Judged, ManifestReport

_TITLES = {"mandatory": ("refused", "bold red"), "waived": ("waived", "bold yellow"), "advisory": ("advice", "yellow")}


def report(out: Console, result: ManifestReport, duration_s: float) -> None:
    """All of it."""
    for problem in result.problems:
        out.print(Text(problem, "red"))
    for level, (title, style) in _TITLES.items():
        for one in result.of_level(level):
            _finding(out, one, title, style)
    out.print()
    if count := len(result.charts):
        out.print(f"{count} chart{'s' * (count != 1)} judged by record, not rendered (docs/policies.md#charts)")
    out.print(Text(f"{closing(result)} ({duration_s:.1f} s)", style="bold red" if result.code else "bold green"))


def closing(result: ManifestReport) -> str:
    """The verdict in a sentence."""
    refused, advice = len(result.of_level("mandatory")), len(result.of_level("advisory"))
    objects = f"{result.objects} object{'s' * (result.objects != 1)}"
    rules = f"{len(result.catalogue)} rule{'s' * (len(result.catalogue) != 1)}"
    parts = [f"{len(result.problems)} not readable"] if result.problems else []
    parts += [f"{refused} refusal{'s' * (refused != 1)}"] if refused else []
    parts += [f"{waived} waived"] if (waived := len(result.of_level("waived"))) else []
    parts += [f"{advice} piece{'s' * (advice != 1)} of advice"] if advice else []
    return f"{objects} judged by {rules}: {', '.join(parts) or 'all good'}"


def _finding(out: Console, one: Judged, title: str, style: str) -> None:
    finding = one.finding
    where = f"{one.name}: {finding.path}" if finding.path else f"{one.name}:"
    out.print()
    out.print(Text.assemble((f"{title} ", style), (finding.rule, "bold")))
    out.print(Text(f"    {one.place}"))
    out.print(Text(f"    {where} {finding.message}"))
    out.print(Text(f"    {finding.waiver}" if finding.waiver else f"    do: {finding.remedy}"))
