"""`edge up`."""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands.options import AllowDestroy, Diff, Json, Rehearse, Site, Yes, require_terminal
from edge.commands.preview import preview
from edge.exit_codes import DONE, FAILED

if TYPE_CHECKING:
    from edge.hosts.drift import Report
    from edge.hosts.drift_probe import DriftProbe
    from edge.run.failure import OperationError
    from edge.run.operation import Outcome, Session
    from stacks.edge_site import EdgeSite

EXAMPLES = "edge up demo --rehearse   |   edge up prod --plan prod.plan   |   edge up prod --allow-destroy b"


def run(
    site: Site,
    rehearse: Rehearse = False,
    yes: Yes = False,
    allow_destroy: AllowDestroy = None,
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
    from edge.hosts.contact import Contact
    from edge.run.operation import opened
    from engine.environment import PROJECT_ROOT

    if plan is not None:
        from edge.run import plans

        plans.require(plan, Path(site).stem, "rehearsal" if rehearse else "real")
    probe = _probe(site) if drift else None
    contact = Contact()

    def built(made: EdgeSite) -> None:
        contact.learn(made)
        if probe:
            probe.start(made)

    loaded = probe.load if probe else lambda: None
    with opened(site, rehearse=rehearse, root=PROJECT_ROOT, built=built, meanwhile=loaded) as session:
        planned = preview(session, quiet=as_json)
        if planned.code == DONE and not planned.run.changes_nothing:
            planned = _allowed(planned, allow_destroy or [])
        if planned.code != DONE:
            done = planned
        elif planned.run.changes_nothing:
            # Running the engine again would write the same state again.
            done = dataclasses.replace(planned, operation="up")
        else:
            if not (yes or rehearse):
                _ask(session, planned, diff)
            refusal = None if rehearse else contact.refusal(planned)
            done = (
                _refused(planned, refusal)
                if refusal
                else _apply(session, planned, plan, consent=bool(allow_destroy), quiet=as_json)
            )
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


def _allowed(planned: Outcome, names: list[str]) -> Outcome:
    """The preview, or its refusal where it destroys something that nobody has consented to."""
    from edge.run.consent import refusal

    refused = refusal(planned.site, planned.consequences, names)
    if refused is None:
        return planned
    return dataclasses.replace(planned, code=refused.code, failure=refused)


def _ask(session: Session, planned: Outcome, diff: bool) -> None:
    from edge.show.render import console, outcome

    outcome(console(), planned, diff=diff)
    if not typer.confirm(f"Do this to {session.site}?", err=True):
        raise typer.Exit(FAILED)


def _refused(planned: Outcome, why: OperationError) -> Outcome:
    return dataclasses.replace(planned, code=FAILED, failure=why)


def _apply(session: Session, planned: Outcome, plan: Path | None, *, consent: bool, quiet: bool) -> Outcome:
    from edge.run.consent import entries
    from edge.show.progress import progress

    assert session.spec is not None, "opened with its program"
    nodes = [session.spec.node(host) for host in session.spec.hosts]
    setting = entries(planned.consequences, nodes, secrets.token_hex(4)) if consent else ""

    with progress(f"up {session.site}", quiet=quiet) as shown:
        done = session.up(shown.step, shown.interrupted, plan, setting, planned.renewal)
    done.run.findings = done.run.findings or planned.run.findings
    done.consequences = planned.consequences
    return done


def _drift(probe: DriftProbe) -> Report:
    from edge.show.progress import counting

    with counting("drift", "hosts probed") as tell:
        return probe.result(tell)


def _finish(done: Outcome, found: Report | None, as_json: bool, diff: bool) -> int:
    from edge.show.document import print_json

    code = found.code if found is not None else done.code
    if as_json:
        more = {"drift": found.as_dict()} if found is not None else {}
        print_json({**done.as_dict(), **more, "exit": code})
        return code
    from edge.show import drift, render

    out = render.console()
    render.outcome(out, done, diff=diff)
    if done.operation == "up" and done.code == DONE and done.run.outputs:
        render.outputs(out, done.run.outputs)
    if found is not None:
        drift.report(out, found)
    return code
