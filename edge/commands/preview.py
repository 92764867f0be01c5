"""`edge preview`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands.options import Diff, Json, Rehearse, Site

if TYPE_CHECKING:
    from edge.run.operation import Outcome, Session

EXAMPLES = (
    "edge preview prod --rehearse   |   edge preview prod --rehearse --json | jq .counts   |   "
    "edge preview prod --rehearse --against main --diff"
)


def run(
    site: Site,
    rehearse: Rehearse = False,
    as_json: Json = False,
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
) -> int:
    """Show what `up` would do to a site, with the findings of the policies and the cost. Changes nothing."""
    if against is not None and not rehearse:
        raise typer.BadParameter("--against compares rehearsals: `edge preview SITE --rehearse --against REF`")
    if against is not None and save_plan is not None:
        raise typer.BadParameter("a plan against a revision is a plan of a state that is thrown away")
    from edge.run.operation import opened
    from edge.show.document import print_json
    from edge.show.render import console, outcome
    from engine.environment import PROJECT_ROOT

    with opened(site, rehearse=rehearse, root=PROJECT_ROOT, against=against) as session:
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
