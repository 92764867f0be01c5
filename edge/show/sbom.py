"""`edge sbom` in a terminal: what sites run, who runs what, and which of it is known to be vulnerable."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from edge.run.bill import Bill, Item
from edge.run.osv import Match
from edge.run.sizes import Renewal
from edge.show.lines import paragraph, visible

_DIGITS = 12
_WIDTH = 76
_NAMED = 8
"""Sites that are named; the others are counted."""
_STYLES = {"CRITICAL": "bold red", "HIGH": "red", "MODERATE": "yellow", "MEDIUM": "yellow"}


def bills(out: Console, found: Sequence[Bill]) -> None:
    """Each thing once, with where it runs: the places of one site, or how many sites."""
    one = found[0] if len(found) == 1 else None
    sites = who_runs(found, "")
    kind = ""
    for item, names in sites:
        if item.kind != kind:
            kind = item.kind
            out.print(Text(kind.replace("machine-learning-", ""), style="bold"))
        place = ", ".join(_some(_places(one, item))) if one else f"{len(names)} site{'s' * (len(names) != 1)}"
        _item(out, item, place)
    unpinned = sum(not item.digest for item, _ in sites)
    said = f"{len(sites)} components of {one.site if one else f'{len(found)} sites'}"
    out.print(Text(said + (f", {unpinned} without a digest" if unpinned else ""), style="bold"))


def who_runs(found: Sequence[Bill], text: str) -> list[tuple[Item, list[str]]]:
    """What has ``text`` in its name, version, digest or package URL, each with the sites that run it."""
    wanted = text.lower()
    sites: dict[Item, list[str]] = {}
    for bill in found:
        for item in bill.items:
            if wanted in f"{item.name}@{item.version} sha256:{item.digest} {item.purl}".lower():
                bare = replace(item, where=(), source="", everywhere=False)
                if bill.site not in sites.setdefault(bare, []):
                    sites[bare].append(bill.site)
    return sorted(sites.items())


def running(out: Console, found: Sequence[tuple[Item, list[str]]], asked: str, of: int) -> None:
    """Who runs what was asked for."""
    for item, names in found:
        _item(out, item, ", ".join(_some(names)))
    number = len({name for _, names in found for name in names})
    out.print(Text(f"{number} of {of} site{'s' * (of != 1)} run{'s' * (number == 1)} {visible(asked)}", style="bold"))


def sizes(out: Console, found: Renewal) -> None:
    """What was learned of sizes, and what was not."""
    for problem in found.problems:
        out.print(Text(visible(problem)), soft_wrap=True)
    learned = found.asked - len(found.problems)
    said = f"{learned} of {found.asked} sizes learned" if found.asked else "all sizes are recorded already"
    out.print(Text(said, style="bold"))


def vulnerable(out: Console, found: Sequence[Match], entries: int, sites: int) -> None:
    """Each vulnerability with what is affected, where, and what repairs it."""
    for one in found:
        names = [one.id, *one.aliases[:2]]
        out.print(Text(visible(f"{' '.join(names)}  {one.severity}".rstrip()), style=_STYLES.get(one.severity, "bold")))
        if one.summary:
            paragraph(out, visible(one.summary))
        paragraph(out, f"{visible(one.name)} {visible(one.version)}: {', '.join(_some(one.sites))}")
        if not one.certain:
            paragraph(out, "its versions cannot be compared with this one: look at the entry", "yellow")
        elif one.fixed:
            paragraph(out, f"repaired in {visible(', '.join(one.fixed))}", "green")
    touched = len({site for one in found for site in one.sites})
    said = f"{entries} entries, {sites} site{'s' * (sites != 1)}: "
    said += f"{len(found)} found at {touched} site{'s' * (touched != 1)}" if found else "nothing known"
    out.print(Text(said, style="bold red" if found else "bold green"))


def _item(out: Console, item: Item, place: str) -> None:
    pinned = f"sha256:{item.digest[:_DIGITS]}" if item.digest else "no digest"
    named = " ".join(part for part in (item.name, item.version, item.arch) if part)
    out.print(Text(visible(f"  {named}")))
    for line in textwrap.wrap(visible(f"{pinned}: {place}"), _WIDTH, break_long_words=False, break_on_hyphens=False):
        out.print(Text(f"    {line}", style="dim"))


def _places(bill: Bill, item: Item) -> list[str]:
    same = (item.name, item.version, item.digest, item.arch)
    return [place for one in bill.items if (one.name, one.version, one.digest, one.arch) == same for place in one.where]


def _some(names: Sequence[str]) -> list[str]:
    more = len(names) - _NAMED
    return [*names[:_NAMED], f"{more} more"] if more > 1 else list(names)
