"""`edge outputs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands import several
from edge.commands.options import All, ChangedSince, Jobs, JsonLines, Rehearse, Selector, SomeSites, selection
from edge.exit_codes import DONE

if TYPE_CHECKING:
    from edge.run.many import Job, Result
    from edge.run.selection import Selection

EXAMPLES = (
    "edge outputs prod   |   edge outputs prod --json | jq -r .outputs.kubernetes_endpoint   |   "
    "edge outputs -l tier=far"
)


def run(
    sites: SomeSites = None,
    rehearse: Rehearse = False,
    as_json: JsonLines = False,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print secret outputs in plain text.")] = False,
    selector: Selector = None,
    everything: All = False,
    changed_since: ChangedSince = None,
    jobs: Jobs = None,
) -> int:
    """Show the outputs of a site's stack: endpoints, versions, cost."""
    chosen = selection(sites, selector, everything, changed_since, command="outputs")
    if (site := chosen.single) is None:
        return _several(chosen, rehearse=rehearse, as_json=as_json, show_secrets=show_secrets, jobs=jobs)
    from edge.run.operation import opened_stack
    from edge.run.project import project_root
    from edge.show.document import print_json
    from edge.show.render import console, outputs

    with opened_stack(site, rehearse=rehearse, root=project_root()) as session:
        values = session.outputs(show_secrets=show_secrets)
    if as_json:
        print_json({"site": session.site, "mode": session.mode, "outputs": values, "exit": DONE})
    else:
        outputs(console(), values)
    return DONE


def _several(chosen: Selection, *, rehearse: bool, as_json: bool, show_secrets: bool, jobs: int | None) -> int:
    from edge.run.project import project_root
    from edge.show import many, render

    todo = several.jobs_for(chosen, project_root(), jobs, rehearse=rehearse, show_secrets=show_secrets)
    done = several.run("outputs", todo, one_of_several, as_json=as_json, jobs=jobs)
    if as_json:
        many.json_closing(done)
    else:
        out = render.console()
        many.sites(out, done, lambda out, one: render.outputs(out, one.document["outputs"]))
        many.closing(out, done, f"edge outputs SITE{' --rehearse' if rehearse else ''}")
    return done.code


def one_of_several(job: Job) -> Result:
    """The outputs of one site, in a worker."""
    from edge.run.many import Result
    from edge.run.operation import opened_stack

    with opened_stack(job.site, rehearse=job.rehearse, root=job.root) as session:
        values = session.outputs(show_secrets=job.show_secrets)
    document = {"site": session.site, "mode": session.mode, "outputs": values, "exit": DONE}
    return Result(session.site, DONE, document)
