"""`edge status` in a terminal: a row for each site, what could not be read, then one line."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from edge.run.status import Report, SiteStatus
from edge.show.lines import paragraph

_DIGITS = 8
_WORDS = {"succeeded": "ok"}
_COLUMNS = ("site", "applied (UTC)", "revision", "built from", "resources", "last update")


def report(out: Console, found: Report) -> None:
    """A row each; `*` marks a revision whose files had been edited."""
    rows = [_COLUMNS, *map(_row, found.sites)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS) - 1)]
    for number, row in enumerate(rows):
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)]
        style = "bold" if number == 0 else _style(found.sites[number - 1])
        out.print(Text(f"{'  '.join(cells)}  {row[-1]}".rstrip(), style=style))
    for site in found.sites:
        for one in site.pending:
            paragraph(out, f"{site.site}: begun and not finished: {one}", "yellow")
        for said in _drift(site):
            paragraph(out, f"{site.site}: {said}", "yellow")
        if site.why:
            paragraph(out, f"{site.site}: {site.why}", "red")
    if found.without_file:
        paragraph(out, f"stacks without a site file: {', '.join(found.without_file)}", "yellow")
    if found.backend:
        paragraph(out, f"state: {found.backend}{' (rehearsal)' if found.mode == 'rehearsal' else ''}", "dim")
    out.print(Text(line(found), style="bold red" if found.code else "bold"))


def _drift(site: SiteStatus) -> Iterator[str]:
    """What was wrong with the hosts when somebody last looked."""
    if seen := site.drift:
        when = f"when `edge drift` last looked, on {seen.at.replace('T', ' ')[:16]} (UTC)"
        for names, what in ((seen.drifted, "not as planned"), (seen.not_reached, "not reached")):
            if names:
                yield f"{len(names)} of {seen.hosts} hosts {what} {when}: {', '.join(names)}"


def line(found: Report) -> str:
    """The last line: how many sites are in which state."""
    counts = found.counts
    words = (
        ("applied", "applied"),
        ("empty", "without resources"),
        ("never", "never applied"),
        ("last_failed", "failed last"),
        ("pending", "with pending operations"),
        ("unreadable", "not read"),
    )
    parts = [f"{counts[key]} {word}" for key, word in words if counts[key]]
    return f"{counts['sites']} site{'' if counts['sites'] == 1 else 's'}: {', '.join(parts)}"


def _row(site: SiteStatus) -> tuple[str, ...]:
    if site.state in ("never", "unreadable"):
        return (site.site, "-", "-", "-", "-", "never applied" if site.state == "never" else "cannot be read")
    last = site.last
    revision = f"{last.revision[:_DIGITS]}{'*' if last.dirty else ''}" if last and last.revision else "-"
    return (
        site.site,
        site.applied.replace("T", " ")[:16] or "-",
        revision,
        site.built_from[:_DIGITS] or "-",
        str(site.resources),
        _last(site),
    )


def _last(site: SiteStatus) -> str:
    said = [f"{len(site.pending)} pending"] if site.pending else []
    if site.last is not None:
        result = _WORDS.get(site.last.result, site.last.result)
        said.insert(0, result if site.last.kind == "update" else f"{site.last.kind} {result}")
        said += [f"by {site.last.by}"] if site.last.by else []
    return ", ".join(said) or "-"


def _style(site: SiteStatus) -> str:
    if site.state == "unreadable" or (site.last is not None and site.last.result == "failed"):
        return "red"
    return "yellow" if site.pending else ""
