"""`edge audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.commands import several
from edge.commands.options import All, Json, Selector, SomeSites, selection

EXAMPLES = (
    "edge audit prod   |   edge audit prod --live   |   edge audit -l tier=near --json   |   "
    "edge audit prod --flags --json"
)


def run(
    sites: SomeSites = None,
    as_json: Json = False,
    flags: Annotated[
        bool, typer.Option("--flags", help="Show the flags that each process of one site's K3s runs with.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the hosts what K3s runs with, over SSH. Read-only; needs the SSH key.")
    ] = False,
    selector: Selector = None,
    everything: All = False,
) -> int:
    """Judge the K3s of sites by the CIS benchmark, check by check: what is required, what was found, what is waived."""
    from edge.run.audit import Report, audited, flags_of, planned
    from edge.run.judging import policies_of
    from edge.run.project import project_root
    from edge.show import audit as shown
    from edge.show.document import print_json
    from edge.show.render import console

    root = project_root()
    # What is wrong with them would otherwise be said once for each site.
    policies_of(root)
    files = several.files_for(selection(sites, selector, everything, command="audit"), root)
    if flags and len(files) != 1:
        raise typer.BadParameter(f"--flags is for one site, and these are {len(files)}")
    if live:
        from edge.hosts.audit import audit_hosts

        result = audit_hosts(files, root)
    else:
        result = Report([audited(planned(file, root)) for file in files])
    only = result.sites[0] if len(result.sites) == 1 else None
    if flags and only is not None and not (only.problems or only.failure or only.not_reached):
        print_json(flags_of(only)) if as_json else shown.flags(console(), flags_of(only))
    elif as_json:
        print_json(result.as_dict())
    else:
        shown.report(console(), result)
    return result.code
