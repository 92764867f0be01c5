"""`edge preview`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands import several
from edge.commands.options import All, ChangedSince, Diff, Jobs, JsonLines, Rehearse, Selector, SomeSites, selection

if TYPE_CHECKING:
    from edge.run.many import Job, Result
    from edge.run.operation import Outcome, Session
    from edge.run.selection import Selection

EXAMPLES = (
    "edge preview prod --rehearse   |   edge preview prod --rehearse --json | jq .counts   |   "
    "edge preview prod --rehearse --against main --diff   |   edge preview -l tier=near,region=eu-* --rehearse"
)


def run(
    sites: SomeSites = None,
    rehearse: Rehearse = False,
    as_json: JsonLines = False,
    diff: Diff = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="REF",
            help="With --rehearse: compare with the site as it is at this Git revision, in a throw-away state.",
        ),
    ] = None,
    save_plan: Annotated[
        Path | None, typer.Option("--save-plan", help="Write the plan to this file, for `edge up --plan`.")
    ] = None,
    selector: Selector = None,
    everything: All = False,
    changed_since: ChangedSince = None,
    jobs: Jobs = None,
) -> int:
    """Show what `up` would do to sites, with the findings of the policies and the cost. Changes nothing."""
    if against is not None and not rehearse:
        raise typer.BadParameter("--against compares rehearsals: `edge preview SITE --rehearse --against REF`")
    if against is not None and save_plan is not None:
        raise typer.BadParameter("a plan against a revision is a plan of a state that is thrown away")
    chosen = selection(sites, selector, everything, changed_since, command="preview")
    if (site := chosen.single) is None:
        if save_plan is not None:
            raise typer.BadParameter("--save-plan is for one site: `edge preview SITE --save-plan FILE`")
        return _several(chosen, rehearse=rehearse, as_json=as_json, diff=diff, against=against, jobs=jobs)
    from edge.run.operation import opened
    from edge.run.project import project_root
    from edge.show.document import print_json
    from edge.show.render import console, outcome

    with opened(site, rehearse=rehearse, root=project_root(), against=against) as session:
        found = preview(session, quiet=as_json, save_plan=save_plan)
    if as_json:
        print_json(found.as_dict())
    else:
        outcome(console(), found, diff=diff)
    return found.code


def preview(session: Session, *, quiet: bool, save_plan: Path | None = None) -> Outcome:
    """A preview with its progress."""
    from edge.show.progress import progress

    with progress(f"preview {session.site}", quiet=quiet, preview=True) as shown:
        return session.preview(shown.step, shown.interrupted, save_plan)


def _several(
    chosen: Selection, *, rehearse: bool, as_json: bool, diff: bool, against: str | None, jobs: int | None
) -> int:
    from edge.run.project import project_root
    from edge.show import many
    from edge.show.render import console

    todo = several.jobs_for(chosen, project_root(), jobs, rehearse=rehearse, against=against)
    done = several.run("preview", todo, one_of_several, as_json=as_json, jobs=jobs)
    if as_json:
        many.json_closing(done)
    else:
        out = console()
        many.changes(out, done, diff=diff)
        many.closing(out, done, f"edge preview SITE{' --rehearse' if rehearse else ''}")
    return done.code


def one_of_several(job: Job) -> Result:
    """The preview of one site, in a worker."""
    from edge.run.many import Steps, of_outcome
    from edge.run.operation import opened

    with opened(job.site, rehearse=job.rehearse, root=job.root, against=job.against) as session:
        return of_outcome(session.preview(Steps().step))
