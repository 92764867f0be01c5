"""`edge up`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands.options import Diff, Json, Rehearse, Site, Yes, require_terminal
from edge.commands.preview import preview
from edge.exit_codes import DONE, FAILED

if TYPE_CHECKING:
    from edge.hosts.drift import Report
    from edge.hosts.drift_probe import DriftProbe
    from edge.run.operation import Outcome, Session
    from stacks.edge_site import EdgeSite

EXAMPLES = "edge up demo --rehearse   |   edge up prod   |   edge up prod --plan prod.plan"


def run(
    site: Site,
    rehearse: Rehearse = False,
    yes: Yes = False,
    diff: Diff = False,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", help="Apply what this file of `edge preview --save-plan` holds, and nothing else."),
    ] = None,
    drift: Annotated[
        bool, typer.Option("--drift", help="Probe the hosts too, at the same time, as `edge drift` does.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Bring a site to what its file says. Policies judge the preview before anything is changed."""
    if drift and rehearse:
        raise typer.BadParameter("--drift probes hosts, and --rehearse has none")
    if not (yes or rehearse):
        require_terminal("up", site, as_json)
    from edge.run.operation import opened
    from engine.environment import PROJECT_ROOT

    if plan is not None:
        from edge.run import plans

        plans.require(plan, Path(site).stem, "rehearsal" if rehearse else "real")
    probe = _probe(site) if drift else None
    built = probe.start if probe else _unwatched
    with opened(site, rehearse=rehearse, root=PROJECT_ROOT, built=built) as session:
        planned = preview(session, quiet=as_json)
        if planned.code != DONE:
            done = planned
        elif planned.run.changes_nothing:
            # Running the engine again would write the same state again.
            done = dataclasses.replace(planned, operation="up")
        else:
            if not (yes or rehearse):
                _ask(session, planned, diff)
            done = _apply(session, planned, plan, quiet=as_json)
            if probe and done.code == DONE:
                probe.restart()
        found = _drift(probe) if probe and done.code == DONE else None
    return _finish(done, found, as_json, diff)


def _unwatched(_site: EdgeSite) -> None:
    """Nothing waits for the site that the program has built."""


def _probe(site: str) -> DriftProbe:
    from edge.hosts.drift_probe import DriftProbe
    from edge.run.selection import selected
    from engine.environment import PROJECT_ROOT

    (file,) = selected([site], PROJECT_ROOT)
    return DriftProbe(file)


def _ask(session: Session, planned: Outcome, diff: bool) -> None:
    from edge.show.render import console, outcome

    outcome(console(), planned, diff=diff)
    if not typer.confirm(f"Do this to {session.site}?", err=True):
        raise typer.Exit(FAILED)


def _apply(session: Session, planned: Outcome, plan: Path | None, *, quiet: bool) -> Outcome:
    from edge.show.progress import progress

    with progress(f"up {session.site}", quiet=quiet) as shown:
        done = session.up(shown.step, shown.interrupted, plan)
    done.run.findings = done.run.findings or planned.run.findings
    return done


def _drift(probe: DriftProbe) -> Report:
    from edge.show.drift import counting

    with counting() as tell:
        return probe.result(tell)


def _finish(done: Outcome, found: Report | None, as_json: bool, diff: bool) -> int:
    from edge.show import drift, render
    from edge.show.document import print_json

    code = found.code if found is not None else done.code
    if as_json:
        more = {"drift": found.as_dict()} if found is not None else {}
        print_json({**done.as_dict(), **more, "exit": code})
        return code
    out = render.console()
    render.outcome(out, done, diff=diff)
    if done.operation == "up" and done.code == DONE and done.run.outputs:
        render.outputs(out, done.run.outputs)
    if found is not None:
        drift.report(out, found)
    return code
