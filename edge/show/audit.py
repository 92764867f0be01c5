"""`edge audit` in a terminal: one row for each check, within 80 columns, then what has to be done, then one line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from edge.run.audit import Report, Row, SiteAudit
from edge.show.render import failure
from policies.rules.benchmark.model import FlagCheck, OtherCheck

_STYLES = {"pass": "green", "fail": "bold red", "unseen": "bold red", "waived": "yellow"}
_MEANT = {
    "n/a": " (K3s has no such thing)",
    "host": " (only a host can show it: `--live`)",
    "manual": " (for people to decide)",
}
_WIDTHS = (6, 28, 20, 15, 7)
"""Of number, title, required, found and verdict; together with the spaces between them, 80 columns at most."""
_INDENT = " " * (_WIDTHS[0] + 1)


def report(out: Console, result: Report) -> None:
    """Every site, then the totals."""
    for site in result.sites:
        _site(out, site)
    failed = sum(1 for site in result.sites if site.code)
    checks = sum(len(site.rows) for site in result.sites)
    number = len(result.sites)
    line = f"{number} site{'s' * (number != 1)}, {checks} checks: "
    line += f"{failed} site{'s' * (failed != 1)} failed" if failed else "none failed"
    if not_looked_at := sum(row.verdict == "host" for site in result.sites for row in site.rows):
        line += f"; {not_looked_at} only with `--live`"
    out.print(Text(line, style="bold red" if result.code else "bold green"))


def flags(out: Console, found: Mapping[str, Mapping[str, str]]) -> None:
    """The flags of each process, one in each line."""
    for process, values in found.items():
        out.print(Text(process, style="bold"))
        for flag, value in values.items():
            out.print(Text(f"  --{flag}={value}"))


def _site(out: Console, site: SiteAudit) -> None:
    out.print(Text(site.site, style="bold"))
    for problem in site.problems:
        out.print(problem.render())
    if site.failure:
        failure(out, site.failure)
    for name, why in site.not_reached.items():
        out.print(Text(f"  {name}  not asked: {why}", style="red"))
    if site.rows:
        out.print(Text(f"  {', '.join(node.name for node in site.nodes)}", style="dim"))
        _line(out, ("check", "title", "required", "found", "verdict"), "dim")
        for row in site.rows:
            _row(out, row)
        said = ", ".join(f"{number} {verdict}{_MEANT.get(verdict, '')}" for verdict, number in site.counts.items())
        for line in textwrap.wrap(f"{len(site.rows)} checks: {said}", 80):
            out.print(Text(line, style="dim"))
    elif not site.code:
        out.print("  no K3s of its own: a cloud brings its cluster, or it has no hosts")
    for node, process, flag, planned, found in site.changed:
        out.print(Text(f"  {node}: {process} --{flag}: planned {planned}, found {found}", style="yellow"))
    out.print()


def _row(out: Console, row: Row) -> None:
    style = _STYLES.get(row.verdict, "dim")
    if isinstance(row.check, OtherCheck):
        # What no flag and no file answers has nothing between its title and its verdict.
        _line(out, (row.check.id, row.check.title, row.verdict), style, (_WIDTHS[0], sum(_WIDTHS[1:4]) + 2, _WIDTHS[4]))
    else:
        cells = (row.check.id, row.check.title, _required(row), _found(row), row.verdict)
        _line(out, cells, style)
    if row.waiver:
        _more(out, f"{'waived: ' if row.verdict == 'waived' else ''}{row.waiver}")
    if row.verdict in ("fail", "unseen"):
        where = f" at {row.node}" if row.node else ""
        unseen = "this start of K3s has left the journal: seen after the next start"
        _more(out, f"found{where}: {row.found or unseen}")
        if row.required:
            _more(out, f"required: {_names(row)} {row.required}")
        if row.remedy:
            _more(out, f"do: {row.remedy}")


def _names(row: Row) -> str:
    check = row.check
    return f"{', '.join(check.flags)} of {check.process}" if isinstance(check, FlagCheck) else ""


def _line(out: Console, cells: tuple[str, ...], style: str, widths: tuple[int, ...] = _WIDTHS) -> None:
    """Cells in columns; what is too long for its column goes on below, and nothing is cut off."""
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)]
    for number in range(max(map(len, wrapped))):
        parts = (lines[number] if number < len(lines) else "" for lines in wrapped)
        text = " ".join(f"{part:{width}}" for part, width in zip(parts, widths, strict=True))
        out.print(Text(text.rstrip(), style=style))


def _more(out: Console, text: str) -> None:
    for line in textwrap.wrap(text, 80, initial_indent=_INDENT, subsequent_indent=_INDENT):
        out.print(Text(line, style="dim"))


def _required(row: Row) -> str:
    return _listed(row.required)


def _found(row: Row) -> str:
    """What was found, in few words where it is as required: `--json` has all of it."""
    check = row.check
    if isinstance(check, FlagCheck) and row.verdict == "pass":
        if check.operator == "set":
            return "set"
        if check.operator in ("has", "lacks"):
            return "included" if check.operator == "has" else "not included"
    return _listed(row.found)


def _listed(value: str) -> str:
    """A long list as its length, since it may be of cipher suites; others with room for a line break."""
    if value.count(",") > 2 and len(value) > 60:
        return f"{'none but ' if value.startswith('none but ') else ''}{value.count(',') + 1} values"
    return value.replace(", ", ",").replace(",", ", ")
