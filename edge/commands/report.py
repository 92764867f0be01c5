"""`edge report`."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.commands import several
from edge.commands.options import All, ChangedSince, Json, Selector, Sites, selection
from edge.exit_codes import DONE

EXAMPLES = (
    "edge report --html sites.html   |   edge report -l customer=acme --html acme.html   |   "
    "edge report --json | jq .cost"
)


def run(
    sites: Sites = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write the page into this file; `-`: standard output.")
    ] = None,
    as_json: Json = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Worker processes; by default as many as help.")
    ] = None,
    selector: Selector = None,
    everything: All = False,
    changed_since: ChangedSince = None,
) -> int:
    """Report on sites as one HTML page: regions, versions, power and heat, policies, cost. Findings are no failure."""
    if html is None and not as_json:
        raise typer.BadParameter("say where to: `edge report --html FILE`, or `--json`")
    if html == "-" and as_json:
        raise typer.BadParameter("only one of `--html -` and `--json` can have standard output")
    from edge.run.judging import policies_of
    from edge.run.overview import overview
    from edge.run.project import project_root
    from edge.run.written_file import write_text
    from edge.show.document import print_json
    from edge.show.html_report import html_report

    root = project_root()
    # What is wrong with them would otherwise be said once for each site.
    policies_of(root)
    chosen = selection(sites, selector, everything, changed_since)
    if chosen.changed_since is not None:
        checked = several.checks_of_changed("report", chosen, root, jobs, quiet=as_json)
        found = overview([one.file for one in checked], root, jobs, checked)
    else:
        found = overview(several.files_with_fleet(chosen, root, jobs), root, jobs)
    if html is not None:
        write_text(html, html_report(found))
    if as_json:
        # The page is there, whatever is found: `edge check` is the gate.
        print_json({**found.as_dict(), "exit": DONE})
    elif html != "-":
        count = len(found.report.sites)
        typer.echo(f"{count} site{'' if count == 1 else 's'} in {html}")
    return DONE
