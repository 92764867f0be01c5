"""`edge check` in a terminal: a row for each site as soon as it is known, then what was found, then one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from components.consequence import Effect
from edge.run.check import PolicyResult, Report, SiteCheck, verdict
from edge.show.consequences import consequences
from sitefile.problems import Problem

_SITES_NAMED = 3
_MISSING_LISTED = 12
"""Up to this many sites are listed with the secrets that they lack; beyond that, only their number."""


class Table:
    """Rows in columns of fixed width, so that each row can be printed as soon as its site has been checked.

    A site of which there is nothing to say has a row only with ``everything``.
    """

    def __init__(self, out: Console, files: Sequence[Path], *, everything: bool = False) -> None:
        self._out = out
        self._width = max([len("site"), *(len(file.stem) for file in files)])
        self._everything = everything
        self._begun = False

    def _header(self) -> None:
        self._begun = True
        row = self._row("site", "tier", "hosts", "resources", "policies", "edge/cloud USD", "pays")
        self._out.print(Text(f"{row}  findings".rstrip(), style="bold"))

    def row(self, site: SiteCheck) -> None:
        findings = list(self._findings(site))
        if not (self._everything or site.code or findings):
            return
        if not self._begun:
            self._header()
        if site.problems:
            line = Text(self._row(site.site, *[""] * 6))
        else:
            cost = site.cost
            line = Text(
                self._row(
                    site.site,
                    site.tier,
                    str(site.hosts),
                    str(site.resources),
                    f"{len(site.mandatory)} refused" if site.mandatory else "ok" if site.judged else "not run",
                    f"{cost['edge_usd_per_month']:,.0f}/{cost['cloud_usd_per_month']:,.0f}" if cost else "-",
                    ("yes" if cost["edge_pays"] else "no") if cost else "-",
                )
            )
        line.append(f"  {', '.join(findings)}")
        line.stylize("red" if site.code else "")
        line.rstrip()
        self._out.print(line)

    def _row(self, site: str, *cells: str) -> str:
        tier, hosts, resources, policies, cost, pays = cells
        return f"{site:{self._width}}  {tier:6}  {hosts:>5}  {resources:>9}  {policies:10}  {cost:>15}  {pays:4}"

    @staticmethod
    def _findings(site: SiteCheck) -> Iterable[str]:
        if site.problems:
            yield f"{len(site.problems)} error{'s' if len(site.problems) > 1 else ''} in the file"
        for effect in (Effect.IMPOSSIBLE, Effect.DESTROYS):
            if number := sum(one.effect is effect for one in site.consequences):
                yield f"{number} {'destroying' if effect is Effect.DESTROYS else 'impossible'}"
        if site.graph:
            yield f"{len(site.graph)} refused by providers"
        if site.waived:
            yield f"{len(site.waived)} waived"
        if advice := len(site.advisory) + len(site.advice):
            yield f"{advice} advice"


def edits(out: Console, sites: Iterable[SiteCheck]) -> None:
    """What the edits do to sites that are up, of each site that has any to speak of."""
    for site in sites:
        if any(one.effect is not Effect.HARMLESS for one in site.consequences):
            out.print(Text(f"{site.site}: what this edit does to a site that is up", "bold"))
            consequences(out, site.consequences)
            out.print()


def report(out: Console, result: Report) -> None:
    """Everything below the table."""
    _problems(out, result.problems)
    for site in result.stacks:
        _graph(out, site)
        for finding in site.mandatory:
            out.print()
            out.print(Text.assemble((f"{site.site}: refused ", "bold red"), (finding.rule, "bold")))
            out.print(f"    {where(finding)} {finding.message}")
            out.print(f"    do: {finding.remedy}")
        for finding in site.waived:
            out.print()
            out.print(Text.assemble((f"{site.site}: waived ", "bold yellow"), (finding.rule, "bold")))
            out.print(f"    {where(finding)} {finding.message}")
            out.print(Text(f"    {finding.waiver}"))
    for problem in (problem for site in result.stacks for problem in site.advice):
        out.print()
        out.print(Text.assemble(("advice ", "yellow"), problem.render()))
    _advice(out, result.stacks)
    for said in result.advice:
        out.print()
        out.print(Text.assemble(("advice ", "yellow"), said))
    _missing(out, result.sites)
    if by_record := len({said for site in result.stacks for said in site.charts}):
        out.print()
        out.print(f"{by_record} chart{'s' * (by_record != 1)} judged by record, not rendered (docs/policies.md#charts)")
    out.print()
    out.print(Text(f"{closing(result)}", style="bold red" if result.code else "bold green"))


def renewal(out: Console, rendered: Sequence[str], failed: Sequence[str]) -> None:
    """What became of the charts that were to be rendered, above the table."""
    for said in rendered:
        out.print(Text.assemble(("rendered ", "green"), said))
    for said in failed:
        out.print(Text.assemble(("not rendered ", "bold red"), said))


def closing(result: Report) -> str:
    """The last line: what was checked, the verdict, how long it took."""
    stacks = result.stacks
    resources, hosts = sum(stack.resources for stack in stacks), sum(stack.hosts for stack in stacks)
    line = verdict(result.sites, result.fleet)
    if result.shared:
        count = len(result.shared)
        line = (
            f"{count} error{'s' if count > 1 else ''} in what sites share (profiles, models, defaults, waivers); {line}"
        )
    if result.between:
        line += f"; {len(result.between)} clash{'es' if len(result.between) > 1 else ''} between sites"
    advisory = sum(len(stack.advisory) + len(stack.advice) for stack in stacks)
    advice = f", {advisory} pieces of advice" if advisory > 1 else ", 1 piece of advice" if advisory else ""
    return f"{line} ({hosts} host{'s' * (hosts != 1)}, {resources} resources{advice}, {result.duration_s:.1f} s)"


def where(finding: PolicyResult) -> str:
    """Resource and property."""
    name = finding.urn.split("::", 3)[-1]
    return f"{name}: {finding.path}" if finding.path else f"{name}:"


def _problems(out: Console, problems: Iterable[Problem]) -> None:
    for problem in problems:
        out.print()
        out.print(problem.render())


def _graph(out: Console, site: SiteCheck) -> None:
    for problem in site.graph:
        name = problem.urn.split("::", 3)[-1]
        subject = ": ".join(part for part in (name, problem.property) if part)
        out.print()
        out.print(Text.assemble((f"{site.site}: ", "bold red"), f"{subject + ': ' if subject else ''}{problem.reason}"))


def _advice(out: Console, sites: Sequence[SiteCheck]) -> None:
    """Once for each rule and message, however many sites it concerns."""
    found: dict[tuple[str, str, str], dict[str, PolicyResult]] = {}
    for site in sites:
        for finding in site.advisory:
            found.setdefault((finding.rule, finding.message, finding.remedy), {}).setdefault(site.site, finding)
    for (rule, message, remedy), at in found.items():
        first = next(iter(at.values()))
        out.print()
        out.print(Text.assemble(("advice ", "yellow"), (rule, "bold"), f" at {_named(list(at))}"))
        out.print(f"    {where(first)} {message}")
        out.print(f"    do: {remedy}")


def _missing(out: Console, sites: Sequence[SiteCheck]) -> None:
    lacking = [site for site in sites if site.secrets_missing]
    if not lacking:
        return
    out.print()
    out.print(Text("Secrets that a real run needs and that are not set yet (a rehearsal needs none):", "dim"))
    if len(lacking) > _MISSING_LISTED:
        out.print(Text(f"    {len(lacking)} sites; `edge check SITE` lists them", "dim"))
        return
    for site in lacking:
        out.print(Text(f"    {site.site}: {', '.join(site.secrets_missing)}", "dim"))


def _named(sites: Sequence[str]) -> str:
    named = ", ".join(sites[:_SITES_NAMED])
    return f"{named} and {len(sites) - _SITES_NAMED} more" if len(sites) > _SITES_NAMED else named
