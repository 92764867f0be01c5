"""`edge drift` in a terminal: for each site what differs and what to write to correct it, then one line."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from components.expected import Expected
from edge.hosts.drift import Report, SiteDrift
from edge.show.render import failure, remedies

_DIGITS = 12
_SUBJECT = {
    "mode": "mode of ",
    "link": "link ",
    "sysctl": "setting ",
    "setting": "setting ",
    "one active": "one of ",
    "package": "package ",
}


def report(out: Console, result: Report) -> None:
    """Every site that is not as planned, then the totals."""
    for site in result.sites:
        _site(out, site)
    counts = result.counts
    line = f"{counts['sites']} site{_s(counts['sites'])}, {counts['hosts']} host{_s(counts['hosts'])}: "
    parts = [f"{counts['differences']} difference{_s(counts['differences'])} on {counts['drifted']}"]
    parts = parts if counts["drifted"] else []
    parts += [f"{counts['not_reached']} not probed"] if counts["not_reached"] else []
    failed = sum(1 for site in result.sites if site.problems or site.failure)
    parts += [f"{failed} site{_s(failed)} not probed"] if failed else []
    good = "all as planned" if result.sites else "nothing was probed"
    line += f"{', '.join(parts) or good} ({result.duration_s:.1f} s)"
    out.print(Text(line, style="bold red" if result.code else "bold green"))


def _site(out: Console, site: SiteDrift) -> None:
    if not site.code:
        return
    out.print(Text(site.site, style="bold"))
    for problem in site.problems:
        out.print(problem.render())
    if site.failure:
        failure(out, site.failure)
    rows = [
        (host.node, subject(one), shown(one, one.value), shown(one, found))
        for host in site.hosts
        for one, found in host.differences
    ]
    if rows:
        rows.insert(0, ("host", "what", "expected", "found"))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for number, row in enumerate(rows):
            cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)]
            out.print(Text(f"  {'  '.join(cells)}  {row[3]}", style="dim" if number == 0 else ""))
    for host in site.not_reached:
        out.print(Text(f"  {host.node}  not probed: {host.not_reached}", style="red"))
    if site.drifted:
        names = ", ".join(host.name for host in site.drifted)
        reapply = f"reapply: {site.reapply}     in {site.file.name} at {names}: applies everything again, in place"
        remedies(out, (reapply, f"edge up {site.site}     then, as for any other change"))
    out.print()


def subject(one: Expected) -> str:
    """What was compared."""
    return _SUBJECT.get(one.kind, "") + one.name


def shown(one: Expected, value: str | None) -> str:
    """A value in words: a known file by its name, an unknown one by its checksum."""
    if value is None:
        return "nothing"
    if one.kind == "content":
        return one.called.get(value, f"sha256 {value[:_DIGITS]}")
    return value or "nothing"


def _s(number: int) -> str:
    return "" if number == 1 else "s"
