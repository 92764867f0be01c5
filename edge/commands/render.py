"""`edge render`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands import several
from edge.commands.options import All, ChangedSince, Jobs, JsonLines, Selector, SomeSites, selection
from edge.exit_codes import DONE

if TYPE_CHECKING:
    from edge.run.many import Job, Result
    from edge.run.selection import Selection

EXAMPLES = (
    "edge render prod | less   |   edge render prod --out /tmp/prod   |   edge render prod --json | jq .files   |   "
    "edge render --all --out /tmp/sites   |   edge render --all --alerts > alerts.yaml"
)


def run(
    sites: SomeSites = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write the files into this folder, several sites into one each; printed when left out."
        ),
    ] = None,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Print the alert rules of these sites instead, for Prometheus or Mimir.")
    ] = False,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Print Grafana's dashboard of all sites instead, in JSON.")
    ] = False,
    as_json: JsonLines = False,
    selector: Selector = None,
    everything: All = False,
    changed_since: ChangedSince = None,
    jobs: Jobs = None,
) -> int:
    """Show every script, file and manifest of a site as it would arrive. Placeholders stand in for secrets."""
    if dashboard:
        return _dashboard(alone=not (sites or selector or everything or changed_since or out or as_json or alerts))
    chosen = selection(sites, selector, everything, changed_since, command="render")
    if alerts:
        return _alerts(chosen, out=out, as_json=as_json)
    if (site := chosen.single) is None:
        return _several(chosen, out=out, as_json=as_json, jobs=jobs)
    from edge.run.project import project_root
    from edge.run.rendering import rendered, write
    from edge.show.document import print_json

    files = rendered(site, project_root())
    if out is not None:
        write(files, out)
    if as_json:
        print_json({"site": Path(site).stem, "out": str(out) if out else None, "files": files, "exit": DONE})
    elif out is not None:
        typer.echo(f"{len(files)} files in {out}")
    else:
        _print(files)
    return DONE


def _alerts(chosen: Selection, *, out: Path | None, as_json: bool) -> int:
    if out is not None or as_json:
        raise typer.BadParameter("--alerts prints one file: `edge render --all --alerts > alerts.yaml`")
    from edge.run.alerts import alert_rules
    from edge.run.project import project_root

    root = project_root()
    typer.echo(alert_rules(several.files_for(chosen, root), root), nl=False)
    return DONE


def _dashboard(*, alone: bool) -> int:
    if not alone:
        raise typer.BadParameter("the dashboard is the same for all sites: `edge render --dashboard > dashboard.json`")
    import json

    from components.telemetry.dashboard import dashboard

    typer.echo(json.dumps(dashboard(), indent=2))
    return DONE


def _print(files: Mapping[str, str], folder: str = "") -> None:
    from edge.show.lines import visible

    for path, content in files.items():
        typer.echo(f"==> {folder}{path} <==")
        typer.echo("\n".join(visible(line) for line in content.rstrip("\n").split("\n")) + "\n")


def _several(chosen: Selection, *, out: Path | None, as_json: bool, jobs: int | None) -> int:
    from edge.run.project import project_root
    from edge.show import many
    from edge.show.render import console

    todo = several.jobs_for(chosen, project_root(), jobs, out=out, contents=as_json or out is None)
    done = several.run("render", todo, one_of_several, as_json=as_json, jobs=jobs, engine=False)
    if as_json:
        many.json_closing(done)
        return done.code
    if out is None:
        for one in done.results:
            _print(one.document.get("files", {}), f"{one.site}/")
    # Where the files are printed, nothing else is on standard output.
    many.closing(console(stderr=out is None), done, "edge render SITE")
    return done.code


def one_of_several(job: Job) -> Result:
    """The files of one site, in a worker; in a folder of its own where they are written."""
    from edge.run.many import Result
    from edge.run.rendering import rendered, write

    files, folder = rendered(job.site, job.root), job.out / job.name if job.out is not None else None
    if folder is not None:
        write(files, folder)
    document = {"site": job.name, "out": str(folder) if folder else None, "exit": DONE}
    return Result(job.name, DONE, {**document, "files": files} if job.contents else document)
