"""The report of sites as one HTML page. Pure: an overview in, text out. How a page is made safe is ``html_page``'s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from components.waiver import WaiverSpec
from edge.run.check import PolicyResult, SiteCheck
from edge.run.overview import HostFacts, Overview, SiteFacts
from edge.show.cost_plot import cost_plot
from edge.show.html_page import Cell, Table, lines, page, text
from edge.show.render import cost_line
from policies import WAIVERS_FILE
from policies.rules.waivers import read

TIERS = ("device", "near", "far", "cloud")
"""From the users outwards."""
_LEVELS = {"mandatory": ("refused", "bad"), "waived": ("waived", "warn"), "advisory": ("advice", "dim")}
_HOT_PERCENT = 90
_NO_NUMBER = Cell.amount(-1, "-")
"""Comes before every number."""


def html_report(overview: Overview) -> str:
    """The whole page."""
    sites, hosts = _sites(overview), _hosts(overview)
    policies, waivers, versions = _policies(overview), _waivers(overview), _versions(overview)
    tables = [table for table in (versions, sites, hosts, policies, waivers) if table.rows]
    title = "Edge sites" if len(overview.report.sites) != 1 else f"Edge site {overview.report.sites[0].site}"
    body = (
        f"<h1>{text(title)}</h1>",
        f'<p class="dim">As of {overview.today.isoformat()} (UTC), by <code>edge report</code>. From the site files, '
        "the hardware profiles and the checks of <code>edge check</code>; no host was asked.</p>",
        _sums(overview),
        # Hundreds of sites are cards below each other on a phone: what is short comes first, and all is one touch away.
        _contents(),
        *_problems(overview),
        _heading("where", "Where they are"),
        _map(overview),
        *_cost(overview),
        *_section("Policies", policies, "The policies find nothing."),
        *_section("Waivers", waivers, "No site waives a rule."),
        *_section("Versions and parts", versions, "No host."),
        *_section("Sites", sites, "No site file describes a site."),
        *_section(
            "Hosts, power and heat",
            hosts,
            "No host.",
            "Load is the base load of the hardware profile and what models may take at full load. It is compared with "
            "the power that the box can turn into heat without end at its highest ambient temperature.",
        ),
    )
    return page(title, body, tables)


def _section(title: str, table: Table, nothing: str, about: str = "") -> Iterator[str]:
    yield _heading(table.id, title)
    if not table.rows:
        yield f'<p class="dim">{text(nothing)}</p>'
        return
    if about:
        yield f'<p class="dim">{text(about)}</p>'
    yield table.markup


def _heading(about: str, title: str) -> str:
    return f'<h2 id="about-{about}">{text(title)}</h2>'


def _contents() -> str:
    places = ("where", "cost", "policies", "waivers", "versions", "sites", "hosts")
    links = (f'<a href="#about-{place}">{place}</a>' for place in places)
    return f"<nav>{' '.join(links)}</nav>"


def _sums(overview: Overview) -> str:
    report = overview.report
    refused = sum(1 for stack in report.stacks if stack.mandatory or stack.graph)
    counts = (
        ("sites", len(report.sites), ""),
        ("hosts", len(overview.hosts), ""),
        ("resources", sum(stack.resources for stack in report.stacks), ""),
        ("with errors", sum(1 for stack in report.stacks if stack.problems), "bad"),
        ("refused", refused, "bad"),
        ("waived findings", sum(len(stack.waived) for stack in report.stacks), "warn"),
        ("pieces of advice", sum(len(stack.advisory) + len(stack.advice) for stack in report.stacks), ""),
    )
    items = (f'<li><b class="{style if number else ""}">{number:,}</b>{name}' for name, number, style in counts)
    return f'<ul class="sums">{"".join(items)}</ul>'


def _problems(overview: Overview) -> Iterator[str]:
    report = overview.report
    refused = [(stack, problem) for stack in report.stacks for problem in stack.graph]
    if overview.problems:
        yield f"<h2>Errors in files: {len(overview.problems)}</h2>"
        yield f"<pre>{lines(chr(10).join(problem.render() for problem in overview.problems))}</pre>"
    if refused:
        yield f"<h2>Refused by providers: {len(refused)}</h2>"
        said = (
            ": ".join(part for part in (stack.site, problem.urn.split("::", 3)[-1], problem.property) if part)
            + f": {problem.reason}"
            for stack, problem in refused
        )
        yield f"<pre>{lines(chr(10).join(said))}</pre>"


def _map(overview: Overview) -> str:
    """Regions by tiers, with the number of sites in each."""
    places: dict[tuple[str, str], list[tuple[SiteCheck, SiteFacts]]] = {}
    for site, facts in overview.known:
        places.setdefault((facts.region, facts.tier), []).append((site, facts))
    regions = sorted({region for region, _ in places})
    head = "".join(f"<th>{tier}" for tier in TIERS)
    rows = []
    for region in regions:
        cells = "".join(_place(region, tier, places.get((region, tier), [])) for tier in TIERS)
        rows.append(f"<tr><th>{text(region)}{cells}</tr>")
    unread = len(overview.report.sites) - len(overview.known)
    note = f'<p class="bad">Not on the map, since their files have errors: {unread}</p>' if unread else ""
    table = f'<table class="map"><thead><tr><th>region{head}</tr></thead>\n<tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="wide">{table}</div>{note}'


def _place(region: str, tier: str, sites: Sequence[tuple[SiteCheck, SiteFacts]]) -> str:
    if not sites:
        return "<td>"
    hosts = sum(len(facts.hosts) for _, facts in sites)
    bad = sum(1 for site, _ in sites if site.code)
    wrong = f'<br><span class="bad">! {bad} not good</span>' if bad else ""
    return (
        f'<td class="some"><a href="#sites" data-find="{text(f"{region} {tier}")}"><b>{len(sites)}</b></a>'
        f' <br><span class="dim">{_many(hosts, "host")}</span>{wrong}'
    )


def _cost(overview: Overview) -> Iterator[str]:
    yield _heading("cost", "Cost")
    if (answer := overview.economics) is None:
        yield '<p class="dim">No site says what it costs (<code>economics</code>).</p>'
        return
    economics, spent = answer
    known = f"{len(overview.priced)} of {_many(len(overview.report.sites), 'site')} say what they cost"
    yield f"<p>{text(cost_line(vars(economics)))}.</p>"
    yield (
        f'<p class="dim">{text(known)}. Spent until each month, in USD, as if all hardware were bought in month 0: a '
        "solid line for the edge, a dashed one for the cloud.</p>"
    )
    yield cost_plot(spent, economics.break_even_month)


def _sites(overview: Overview) -> Table:
    headings = (
        *("site", "tier", "region", "labels", "hosts", "resources", "state", "parts"),
        *("edge USD/month", "cloud USD/month", "paid back after month", "about"),
    )
    rows = [[Cell.of(site.site), *_site(site, overview.facts.get(site.file))] for site in overview.report.sites]
    return Table("sites", headings, rows)


def _site(site: SiteCheck, facts: SiteFacts | None) -> Iterator[Cell]:
    if facts is None:
        yield from [Cell("")] * 3
        yield from (*[_NO_NUMBER] * 2, _state(site))
        yield from (Cell(""), *[_NO_NUMBER] * 3, Cell(""))
        return
    yield from (Cell.of(facts.tier), Cell.of(facts.region))
    yield Cell.of(" ".join(f"{key}={value}" for key, value in sorted(facts.labels.items())))
    yield from (Cell.amount(len(facts.hosts)), Cell.amount(site.resources), _state(site))
    yield Cell.of(" ".join(facts.parts))
    cost = site.cost
    if cost is None:
        yield from [_NO_NUMBER] * 3
    else:
        yield Cell.amount(cost["edge_usd_per_month"])
        yield Cell.amount(cost["cloud_usd_per_month"])
        month = cost["break_even_month"]
        # Never comes after every month.
        yield Cell.amount(month) if month is not None else Cell.amount(1e9, "never")
    yield Cell.of(facts.description)


def _state(site: SiteCheck) -> Cell:
    if site.problems:
        return Cell(f'<span class="bad">{_many(len(site.problems), "error")}</span>')
    if refused := len(site.mandatory) + len(site.graph):
        return Cell(f'<span class="bad">{refused} refused</span>')
    if not site.judged:
        return Cell('<span class="warn">not judged</span>')
    if site.waived:
        return Cell(f'<span class="warn">{len(site.waived)} waived</span>')
    return Cell('<span class="good">ok</span>')


def _versions(overview: Overview) -> Table:
    """What runs how often: by host for systems and Kubernetes, by site for the rest."""
    hosts: Counter[tuple[str, str]] = Counter()
    sites: Counter[tuple[str, str]] = Counter()
    for _, facts in overview.known:
        own: Counter[tuple[str, str]] = Counter()
        for host in facts.hosts:
            own["operating system", host.system] += 1
            if host.kubernetes:
                own["kubernetes", host.kubernetes] += 1
        hosts += own
        sites.update(dict.fromkeys((*own, *facts.versions.items(), *(("part", part) for part in facts.parts)), 1))
    rows = [
        [
            Cell.of(kind),
            Cell.of(what),
            Cell.amount(number),
            Cell.amount(hosts[kind, what], None if hosts[kind, what] else "-"),
        ]
        for (kind, what), number in sorted(sites.items())
    ]
    return Table("versions", ("of", "version or name", "sites", "hosts"), rows)


def _hosts(overview: Overview) -> Table:
    headings = (
        *("site", "host", "role", "hardware", "system", "kubernetes"),
        *("load", "W", "sustained W", "up to °C", "cooling"),
    )
    rows = [_host(facts, host) for facts, host in overview.hosts]
    return Table("hosts", headings, rows)


def _host(facts: SiteFacts, host: HostFacts) -> list[Cell]:
    hardware = " + ".join((host.hardware, *host.accelerators))
    style = "bad" if host.percent > 100 else "warn" if host.percent >= _HOT_PERCENT else ""
    shown = f'<span class="{style}">{host.percent} %</span>' if style else f"{host.percent} %"
    meter = f'<meter max="100" value="{min(100, host.percent)}"></meter>'
    return [
        Cell.of(facts.site),
        Cell.of(host.name),
        Cell.of(host.role),
        Cell(f'<span title="{text(host.model)}">{text(hardware)}</span>'),
        Cell.of(host.system),
        Cell.of(host.kubernetes),
        Cell(f"{meter} {shown}", host.percent),
        Cell.amount(host.watts, f"{host.watts:g}"),
        Cell.amount(host.sustained_watts, f"{host.sustained_watts:g}"),
        Cell.amount(host.max_ambient_c, f"{host.max_ambient_c:g}"),
        Cell.of(host.cooling),
    ]


def _policies(overview: Overview) -> Table:
    """Findings that are alike are one row, however many sites have them."""
    found: dict[tuple[str, str, str], dict[str, PolicyResult]] = {}
    number: Counter[tuple[str, str, str]] = Counter()
    for stack in overview.report.stacks:
        for finding in stack.policies:
            key = (finding.level, finding.rule, finding.remedy)
            number[key] += 1
            found.setdefault(key, {}).setdefault(stack.site, finding)
    order = list(_LEVELS)
    rows = []
    for key in sorted(found, key=lambda key: (order.index(key[0]), key[1], key[2])):
        (level, rule, remedy), sites = key, found[key]
        word, style = _LEVELS[level]
        first = next(iter(sites.values()))
        rows.append(
            [
                Cell(f'<span class="{style}">{word}</span>'),
                Cell.of(rule),
                Cell.of(first.message),
                Cell.of(remedy),
                Cell.amount(number[key]),
                Cell.amount(len(sites)),
                Cell(_named(list(sites))),
            ]
        )
    headings = ("verdict", "rule", "what, at the first site", "what to do", "findings", "sites", "at")
    return Table("policies", headings, rows)


def _named(sites: Sequence[str]) -> str:
    if len(sites) <= 3:
        return text(", ".join(sites))
    return f"<details><summary>{text(sites[0])} and {len(sites) - 1} more</summary>{text(', '.join(sites))}</details>"


def _waivers(overview: Overview) -> Table:
    rows = []
    for site, facts in overview.known:
        covered = Counter((finding.rule, finding.waiver) for finding in site.waived)
        rows += [_waiver(facts.site, waiver, _words(waiver), covered, overview) for waiver in facts.waivers]
    everywhere = Counter((finding.rule, finding.waiver) for site in overview.report.stacks for finding in site.waived)
    for waiver in overview.company:
        where = f"{', '.join((*waiver.sites, *waiver.manifests)) or 'all sites'} (company)"
        rows.append(_waiver(where, waiver, _words(waiver, WAIVERS_FILE), everywhere, overview))
    return Table("waivers", ("site", "rule", "only for", "reason", "owner", "last day", "findings"), rows)


def _waiver(
    where: str, waiver: WaiverSpec, words: str, covered: Counter[tuple[str, str]], overview: Overview
) -> list[Cell]:
    late = waiver.expires < overview.today.isoformat()
    expires = f'<span class="bad">{text(waiver.expires)}, expired</span>' if late else text(waiver.expires)
    return [
        *map(Cell.of, (where, waiver.rule, _bound(waiver), waiver.reason, waiver.owner)),
        Cell(expires),
        Cell.amount(covered[waiver.rule, words]),
    ]


def _words(waiver: WaiverSpec, origin: str = "") -> str:
    """What its findings say of a waiver."""
    given = read(waiver.model_dump(mode="json"))
    return str(replace(given, origin=origin)) if given else ""


def _bound(waiver: WaiverSpec) -> str:
    """What a waiver is for, where that is less than its rule."""
    return ", ".join(bound for bound in (waiver.resource, waiver.workload, waiver.image) if bound)


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
