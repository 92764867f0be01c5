"""The comment of `edge pr`: what a pull request means for all sites, as one Markdown text of bounded size. Pure.

The order is that of what a reviewer must not miss: counts, what is destroyed or cannot work, policy findings, cost, the
next command. These are never cut. Then the differences; sites that change alike share one.
"""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.run.difference import ABSENT, SECRET
from edge.show.difference import lines_of
from sitefile.problems import printable
from stacks.provenance import OUTPUT as BUILT_FROM

MARK = "<!-- edge pr -->"
"""First line of the comment, by which the next run finds it."""

LIMIT = 65_000
"""Bytes. GitHub takes 65,536 characters; GitLab takes a million."""

_NAMED = 40
"""So many names stand in a line of the comment; the rest is counted. What is destroyed is always named."""
_DIFF_LINES = 120
"""Lines of one group's difference."""
_SIGNS = {"create": "+", "delete": "-"}
_OPS = ("create", "update", "replace", "delete")
_SERIOUS = {"impossible": "Cannot work", "destroys": "Destroys", "interrupts": "Interrupts"}


@dataclass(frozen=True)
class SiteChange:
    """One site of a pull request: what was found of it."""

    site: str
    nodes: tuple[str, ...] = ()
    """Names of its hosts outside the site, now and before."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """What `edge preview SITE --rehearse --against BASE --json` prints; empty where that failed."""
    error: str = ""
    """Why there is no preview."""
    cost_before: Mapping[str, Any] | None = None
    """The site's cost at the base, as `cost` in the document."""
    uplink: Mapping[str, Any] | None = None
    """What it fetches for the change: `known_bytes`, `seconds`, and names, `known` and `unknown`."""

    @property
    def counts(self) -> Mapping[str, int]:
        return self.document.get("counts") or {}

    @property
    def is_new(self) -> bool:
        return bool((self.document.get("against") or {}).get("program") == "none")

    @property
    def outputs(self) -> list[Mapping[str, Any]]:
        """The stack's outputs that change. The hash of the program and the site file does with every edit of a file."""
        return [one for one in self.document.get("output_changes") or () if one["path"] != BUILT_FROM]

    @property
    def changes(self) -> bool:
        """Whether the pull request does anything to it."""
        return bool(self.error or any(self.counts.get(op) for op in _OPS) or self.outputs)

    @property
    def refused(self) -> bool:
        """Whether it could not be merged as it is."""
        return bool(self.error or self.document.get("exit"))


@dataclass(frozen=True)
class PullRequest:
    """All sites of a pull request."""

    base: str
    """The revision that was compared with, by the name that was given."""
    commit: str
    sites: Sequence[SiteChange]
    """Those that were looked at, in the order of their names."""
    unchanged: int = 0
    """Sites that need not be looked at."""
    deleted: Sequence[str] = ()
    """Sites whose file is gone."""

    @property
    def changed(self) -> list[SiteChange]:
        return [site for site in self.sites if site.changes]

    @property
    def refused(self) -> list[SiteChange]:
        return [site for site in self.sites if site.refused]

    def as_dict(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {
            "base": {"ref": self.base, "commit": self.commit},
            "sites": [
                {
                    "site": one.site,
                    "error": one.error,
                    "cost_before": one.cost_before,
                    "uplink": one.uplink,
                    "preview": one.document or None,
                }
                for one in self.changed
            ],
            "unchanged": self.unchanged + len(self.sites) - len(self.changed),
            "deleted": list(self.deleted),
            "alike": [[one.site for one in group.sites] for group in _groups(self.changed)],
            "refused": [one.site for one in self.refused],
        }


def comment(found: PullRequest, limit: int = LIMIT) -> str:
    """The text, of at most ``limit`` bytes."""
    head = [*_counts(found), *_serious(found), *_broken(found), *_findings(found), *_cost(found)]
    head += [*_uplink(found), *_next(found)]
    text = "\n".join(head) + "\n"
    groups = _groups(found.changed)
    for number, group in enumerate(groups):
        left = groups[number:]
        rest = _left_out(left)
        for lines in (_DIFF_LINES, _DIFF_LINES // 8, 0):
            shown = _shown(group, lines)
            room = limit - len(text.encode()) - (len(rest.encode()) if len(left) > 1 else 0)
            if len(shown.encode()) <= room:
                text += shown
                break
        else:
            return text + rest
    return text


# What a reviewer must not miss.


def _counts(found: PullRequest) -> Iterator[str]:
    changed, new = found.changed, [one for one in found.changed if one.is_new]
    unchanged = found.unchanged + len(found.sites) - len(changed)
    everything = unchanged + len(changed)
    yield MARK
    yield f"### Edge sites: {len(changed)} of {everything} change" if changed else "### Edge sites: nothing changes"
    yield ""
    yield f"Compared with `{_code(found.base)}` ({found.commit[:10]}), rehearsed: real engine, simulated providers."
    yield ""
    yield "| sites | create | update | replace | delete |"
    yield "|---|---:|---:|---:|---:|"
    groups = [
        ("changed", [one for one in changed if not one.is_new and not one.error]),
        ("new", [one for one in new if not one.error]),
    ]
    for word, sites in groups:
        if sites:
            totals = [sum(one.counts.get(op, 0) for one in sites) for op in _OPS]
            yield f"| {len(sites)} {word} | {' | '.join(map(str, totals))} |"
    yield f"| {unchanged} not changed | 0 | 0 | 0 | 0 |"
    yield ""
    if found.deleted:
        yield f"**Deleted files: {_names(found.deleted, len(found.deleted))}.** Their stacks, hosts and clusters stay"
        yield "as they are until somebody runs `edge destroy SITE`."
        yield ""


def _serious(found: PullRequest) -> Iterator[str]:
    """Consequences, the worst first; one line for all sites that they are the same for."""
    for word, title in _SERIOUS.items():
        said = _Said()
        for site in found.changed:
            for one in site.document.get("consequences", ()):
                if one["class"] == word:
                    where = f"{site.site}/{one['host']}" if one.get("host") else site.site
                    said.add(site, where, one["reason"], one["way"])
        if not said.lines:
            continue
        yield f"#### {title}"
        yield ""
        for (reason, way), places in said.lines:
            yield f"- **{_names(places, len(places))}**: {_text(reason)}"
            if way:
                yield f"  To do it right: {_text(way)}"
        yield ""


def _broken(found: PullRequest) -> Iterator[str]:
    said = _Said()
    for one in found.sites:
        if one.error:
            said.add(one, one.site, one.error)
        elif one.document.get("exit") and not _mandatory(one):
            failure = (one.document.get("error") or {}).get("what") or next(
                (entry["message"] for entry in one.document.get("diagnostics", ()) if entry["severity"] == "error"), ""
            )
            if failure:
                said.add(one, one.site, failure)
    if said.lines:
        yield "#### Not possible as it is"
        yield ""
        for (what,), sites in said.lines:
            yield f"- **{_names(sites, _NAMED)}**: {_text(what)}"
        yield ""


def _mandatory(one: SiteChange) -> list[Mapping[str, Any]]:
    return [finding for finding in one.document.get("policies", ()) if finding["level"] == "mandatory"]


def _findings(found: PullRequest) -> Iterator[str]:
    for level, title in (("mandatory", "Policies: refused"), ("waived", "Policies: waived"), ("advisory", "Advice")):
        said = _Said()
        for site in found.changed:
            for one in site.document.get("policies", ()):
                if one["level"] == level:
                    # The rule writes its remedy, in the words of a site file, below what is wrong.
                    said.add(site, site.site, str(one["urn"]).rpartition("::")[2], one["message"])
        if not said.lines:
            continue
        folded = level != "mandatory"
        yield f"<details><summary>{title}: {len(said.lines)}</summary>" if folded else f"#### {title}"
        yield ""
        for (about, what), sites in said.lines[: _NAMED if folded else None]:
            yield f"- `{_code(about)}`: {_text(what)} ({_names(sites, _NAMED)})"
        if folded and len(said.lines) > _NAMED:
            yield f"- and {len(said.lines) - _NAMED} more"
        yield ""
        if folded:
            yield "</details>"
            yield ""


def _cost(found: PullRequest) -> Iterator[str]:
    differ = [one for one in found.changed if one.document.get("cost") != one.cost_before and not one.error]
    priced = [(one, one.cost_before, one.document.get("cost")) for one in differ]
    if not priced:
        return
    yield "#### Cost, USD per month"
    yield ""
    yield "| site | edge | cloud | does edge pay | breaks even in month |"
    yield "|---|---:|---:|---|---:|"
    for one, before, after in priced[:_NAMED]:
        cells = [
            _both(before, after, key)
            for key in ("edge_usd_per_month", "cloud_usd_per_month", "edge_pays", "break_even_month")
        ]
        yield f"| {_text(one.site)} | {' | '.join(cells)} |"
    if len(priced) > _NAMED:
        more = priced[_NAMED:]
        sums = [
            sum((cost or {}).get("edge_usd_per_month", 0) for cost in side)
            for side in zip(*((b, a) for _, b, a in more), strict=True)
        ]
        yield f"| {len(more)} more | {sums[0]:,.2f} → {sums[1]:,.2f} | | | |"
    yield ""


def _both(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, key: str) -> str:
    shown = [_amount(side, key) for side in (before, after)]
    return shown[1] if shown[0] == shown[1] else " → ".join(shown)


def _amount(cost: Mapping[str, Any] | None, key: str) -> str:
    if cost is None:
        return "not said"
    value = cost.get(key)
    if value is None:
        return "never"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.2f}" if key.endswith("usd_per_month") else str(value)


def _uplink(found: PullRequest) -> Iterator[str]:
    """What the sites fetch, those that wait longest first; sites that fetch alike are one row."""
    rows: dict[tuple[Any, ...], list[str]] = {}
    for one in found.changed:
        if one.uplink and (one.uplink["known"] or one.uplink["unknown"]):
            size, seconds, unknown = (one.uplink[key] for key in ("known_bytes", "seconds", "unknown"))
            rows.setdefault((seconds or 0, size, tuple(unknown)), []).append(one.site)
    if not rows:
        return
    ordered = sorted(rows.items(), reverse=True)
    yield "#### Fetched over the uplink"
    yield ""
    yield "| sites | MB for each | minutes at its usual speed | size not recorded |"
    yield "|---|---:|---:|---|"
    for (seconds, size, unknown), sites in ordered[:_NAMED]:
        minutes = f"{seconds / 60:,.0f}" if seconds >= 60 else "less than 1" if seconds else ""
        yield f"| {_names(sites, 3)} | {size / 1e6:,.0f} | {minutes} | {_names(unknown, 3)} |"
    if len(ordered) > _NAMED:
        more = ordered[_NAMED:]
        megabytes = sum(size * len(sites) for (_, size, _), sites in more) / 1e6
        yield f"| {sum(len(sites) for _, sites in more)} more | {megabytes:,.0f} together | | |"
    yield ""
    if any(unknown for _, _, unknown in rows):
        yield "`edge sbom --all --sizes` asks registries and publishers for the sizes that are not recorded."
        yield ""


def _next(found: PullRequest) -> Iterator[str]:
    if not found.changed:
        return
    example = (found.refused or found.changed)[0].site
    yield f"Everything of one site: `edge preview {_code(example)} --rehearse --against {_code(found.base)} --diff`"
    yield ""


# Differences.


@dataclass(frozen=True)
class _Group:
    """Sites that change alike."""

    entries: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]
    """Operation, names of resources, lines of the difference."""
    sites: list[SiteChange]


def _groups(changed: Iterable[SiteChange]) -> list[_Group]:
    """Sites by what happens to them; the largest group first."""
    found: dict[object, _Group] = {}
    for site in changed:
        if site.error:
            continue
        entries = _entries(site)
        # Of a new site, what counts is that it is new.
        key: object = "new" if site.is_new else entries
        found.setdefault(key, _Group(() if site.is_new else entries, [])).sites.append(site)
    return sorted(found.values(), key=lambda group: -len(group.sites))


def _entries(site: SiteChange) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
    named: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for change in site.document.get("resources", ()):
        if change["op"] in _OPS:
            lines = (
                tuple(_normal(line, site) for line in _lines(change)) if change["op"] in ("update", "replace") else ()
            )
            name = f"{change['type'].rpartition(':')[2]} {_normal(change['name'], site)}"
            named.setdefault((change["op"], lines), set()).add(name)
    if site.outputs:
        lines = tuple(_normal(line, site) for one in site.outputs for line in _property(one))
        named[("update", lines)] = {"outputs of the stack"}
    return tuple(sorted((op, tuple(sorted(names)), lines) for (op, lines), names in named.items()))


def _lines(change: Mapping[str, Any]) -> Iterator[str]:
    for one in change.get("changes", ()):
        yield from _property(one)
    if keys := change.get("replace_keys"):
        yield f"! replaced because of {', '.join(keys)}"


def _property(change: Mapping[str, Any]) -> Iterator[str]:
    """What differs in one property: only the lines that do. Their surroundings differ from site to site."""
    path = printable(change["path"])
    before, after = change.get("before", ABSENT), change.get("after", ABSENT)
    if before == after == SECRET:
        yield f"! {path}: {SECRET}, changed"
        return
    old, new = lines_of(before), lines_of(after)
    if len(old) <= 1 and len(new) <= 1:
        yield from (f"- {path}: {line}" for line in old)
        yield from (f"+ {path}: {line}" for line in new)
        return
    yield f"! {path}"
    for line in list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]:
        if not line.startswith("@@"):
            yield f"{line[0]} {line[1:]}".rstrip()


def _shown(group: _Group, most: int) -> str:
    """One group, folded, with at most so many lines of difference."""
    names = [one.site for one in group.sites]
    one = len(names) == 1
    # Within the tag there is no Markdown.
    title = html.escape(printable(", ".join(names))) if len(names) <= 3 else f"these {len(names)} sites"
    words = ("is new", "are new") if group.sites[0].is_new else ("changes", "change alike")
    what = words[0] if one else words[1]
    text = [f"<details><summary>{title} {what}</summary>", ""]
    if len(names) > 3:
        text += [_names(names, 500 if most == _DIFF_LINES else _NAMED), ""]
    lines = [line for entry in group.entries for line in _entry(entry)]
    if lines and most:
        # A line of the difference may hold the fence's own mark.
        longest = max((len(mark) for line in lines for mark in re.findall(r"`+", line)), default=0)
        fence = "`" * max(3, longest + 1)
        cut = len(lines) - most
        text += [f"{fence}diff", *lines[:most], *([f"! and {cut} lines more"] if cut > 0 else []), fence, ""]
    elif lines:
        text += ["The difference is too long for this comment.", ""]
    return "\n".join([*text, "</details>", ""]) + "\n"


def _entry(entry: tuple[str, tuple[str, ...], tuple[str, ...]]) -> Iterator[str]:
    op, names, lines = entry
    sign = _SIGNS.get(op, "!")
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    yield f"{sign} {op} {printable(shown)}"
    yield from lines


def _left_out(groups: Sequence[_Group]) -> str:
    sites = [one.site for group in groups for one in group.sites]
    return f"Not shown, for want of room: the differences of {_names(sites, _NAMED)}.\n"


# Words.


class _Said:
    """Sentences about sites. Those that differ in nothing but the site's own names are one, in the order of arrival."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], tuple[tuple[str, ...], dict[str, None]]] = {}

    def add(self, site: SiteChange, where: str, *texts: str) -> None:
        key = tuple(_normal(text, site) for text in texts)
        self._found.setdefault(key, (texts, {}))[1][where] = None

    @property
    def lines(self) -> list[tuple[tuple[str, ...], list[str]]]:
        """Each with where it was said; what was said once, with its own names."""
        return [(texts if len(where) == 1 else common, list(where)) for common, (texts, where) in self._found.items()]


def _normal(text: str, site: SiteChange) -> str:
    """``text`` without what is the site's own name: that of another site reads the same."""
    for node in sorted(site.nodes, key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z0-9_.]){re.escape(node)}(?![A-Za-z0-9])", "HOST", text)
    return re.sub(rf"(?<![A-Za-z0-9_.-]){re.escape(site.site)}(?![A-Za-z0-9])", "SITE", text)


def _names(names: Sequence[str], most: int) -> str:
    shown = ", ".join(map(_text, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _text(text: str) -> str:
    """Text that is no Markdown, HTML or mention, whatever it holds."""
    flat = printable(" ".join(text.split()))
    return re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", flat).replace("@", "@<!-- -->")


def _code(text: str) -> str:
    """Text between backquotes."""
    return printable(text).replace("`", "'")
