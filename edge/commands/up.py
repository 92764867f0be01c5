"""`edge up`."""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands import several
from edge.commands.options import (
    All,
    AllowDestroy,
    ChangedSince,
    Diff,
    Jobs,
    JsonLines,
    Rehearse,
    Selector,
    SomeSites,
    Yes,
    require_terminal,
    selection,
)
from edge.commands.preview import preview
from edge.exit_codes import DONE, FAILED

if TYPE_CHECKING:
    from edge.hosts.drift import Report
    from edge.hosts.drift_probe import DriftProbe
    from edge.run.failure import OperationError
    from edge.run.many import Job, Result, Steps, Summary
    from edge.run.operation import Outcome, Session
    from edge.run.selection import Selection
    from stacks.edge_site import EdgeSite

EXAMPLES = (
    "edge up demo --rehearse   |   edge up prod --plan prod.plan   |   edge up prod --allow-destroy b   |   "
    "edge up -l tier=near,region=eu-*"
)


def run(
    sites: SomeSites = None,
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
    as_json: JsonLines = False,
    selector: Selector = None,
    everything: All = False,
    changed_since: ChangedSince = None,
    jobs: Jobs = None,
) -> int:
    """Bring sites to what their files say. Policies judge the preview before anything is changed."""
    if drift and rehearse:
        raise typer.BadParameter("--drift probes hosts, and --rehearse has none")
    chosen = selection(sites, selector, everything, changed_since, command="up")
    if (site := chosen.single) is None:
        for given, flag in ((allow_destroy, "--allow-destroy"), (plan, "--plan"), (drift, "--drift")):
            if given:
                raise typer.BadParameter(f"{flag} is for one site: `edge up SITE {flag} ...`")
        return _several(chosen, rehearse=rehearse, yes=yes, diff=diff, as_json=as_json, jobs=jobs)
    if not (yes or rehearse):
        require_terminal("up", site, as_json)
    from edge.hosts.contact import Contact
    from edge.run.operation import opened
    from edge.run.project import project_root

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
    with opened(site, rehearse=rehearse, root=project_root(), built=built, meanwhile=loaded) as session:
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
    from edge.run.project import project_root
    from edge.run.selection import selected

    (file,) = selected([site], project_root())
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
        done = session.up(shown.step, shown.interrupted, plan, setting, planned.renewals)
    done.run.findings = done.run.findings or planned.run.findings
    done.consequences = planned.consequences
    return done


def _drift(probe: DriftProbe) -> Report:
    from edge.hosts.drift import remember
    from edge.run.project import project_root
    from edge.show.progress import counting

    with counting("drift", "hosts probed") as tell:
        found = probe.result(tell)
    remember(found, project_root())
    return found


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


def _several(chosen: Selection, *, rehearse: bool, yes: bool, diff: bool, as_json: bool, jobs: int | None) -> int:
    """As for one site, at each of them; asked once."""
    asks = not (yes or rehearse)
    if asks:
        require_terminal("up", str(chosen), as_json)
    from edge.run.project import project_root
    from edge.show import many, render

    out, again = render.console(), f"edge preview SITE{' --rehearse' if rehearse else ''}"
    todo = several.jobs_for(chosen, project_root(), jobs, rehearse=rehearse)
    if asks:
        planned = several.run("preview", todo, planned_of_several, as_json=False, jobs=jobs)
        many.changes(out, planned, diff=diff)
        many.closing(out, planned, again)
        agreed = [
            dataclasses.replace(job, agreed=agreement_of(one))
            for job, one in zip(todo, planned.results, strict=True)
            if one.code == DONE and one.changes
        ]
        if not agreed or planned.interrupted:
            return planned.code
        failed = f", leaving out {len(planned.failed)} that failed" if planned.failed else ""
        if not typer.confirm(f"Do this to {len(agreed)} site{'' if len(agreed) == 1 else 's'}{failed}?", err=True):
            raise typer.Exit(FAILED)
        done = _together(planned, several.run("up", agreed, one_of_several, as_json=False, jobs=jobs))
    else:
        done = several.run("up", todo, one_of_several, as_json=as_json, jobs=jobs)
    if as_json:
        many.json_closing(done)
    else:
        if not asks:
            many.changes(out, done, diff=diff)
        many.closing(out, done, again)
    return done.code


def _together(planned: Summary, done: Summary) -> Summary:
    """What was applied, and what was not since its preview failed or found nothing to do."""
    applied = {one.site: one for one in done.results}
    results = [applied.get(one.site, one) for one in planned.results]
    return dataclasses.replace(done, results=results)


def agreement_of(one: Result) -> str:
    from edge.run.many import agreement

    assert one.outcome is not None, "it has changes"
    return agreement(one.outcome)


def planned_of_several(job: Job) -> Result:
    """What an `up` of one site would do, or its refusal; in a worker."""
    from edge.run.many import Steps, of_outcome
    from edge.run.operation import opened

    with opened(job.site, rehearse=job.rehearse, root=job.root) as session:
        return of_outcome(_planned(session, Steps()))


def one_of_several(job: Job) -> Result:
    """The `up` of one site, in a worker: without a question, and without consent to what destroys."""
    from edge.hosts.contact import Contact
    from edge.run.many import Steps, agreement, of_outcome
    from edge.run.operation import opened

    contact, steps = Contact(), Steps()
    with opened(job.site, rehearse=job.rehearse, root=job.root, built=contact.learn) as session:
        planned = _planned(session, steps)
        if planned.code != DONE:
            return of_outcome(planned)
        if planned.run.changes_nothing:
            return of_outcome(dataclasses.replace(planned, operation="up"))
        if job.agreed is not None and agreement(planned) != job.agreed:
            return of_outcome(_refused(planned, _not_as_shown(session.site)))
        if refusal := None if job.rehearse else contact.refusal(planned):
            return of_outcome(_refused(planned, refusal))
        done = session.up(steps.step, renewals=planned.renewals)
        done.run.findings = done.run.findings or planned.run.findings
        done.consequences = planned.consequences
        return of_outcome(done)


def _planned(session: Session, steps: Steps) -> Outcome:
    planned = session.preview(steps.step)
    if planned.code == DONE and not planned.run.changes_nothing:
        planned = _allowed(planned, [])
    return planned


def _not_as_shown(site: str) -> OperationError:
    from edge.run.failure import OperationError

    return OperationError(
        f"{site} is not as it was when its preview was shown. Nothing was applied.",
        (f"edge up {site}     shows it again",),
    )
