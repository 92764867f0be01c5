"""The `edge` command: arguments in, exit code out. Everything else is in the modules beside.

Modules that take long to import are imported by the commands that need them.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from edge.hosts.alongside import Look
    from edge.run.operation import Outcome, Session
    from stacks.program import Built

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="edge",
    help="Edge sites as code: check, rehearse and roll out what stacks/sites describes.",
    epilog="Exit codes: 0 done, 1 failed or refused by a policy, 2 bad input, 130 interrupted. "
    "EDGE_DEBUG=1 shows stack traces.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Site = Annotated[str, typer.Argument(help="Site id, or path of a site file (with --rehearse).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output; progress on standard error.")]
Rehearse = Annotated[
    bool,
    typer.Option(
        "--rehearse",
        help="Real engine, played providers: needs no credential and no secret, touches nothing.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(epilog="Examples:  edge check   |   edge check prod demo   |   edge check some/folder --json")
def check(
    sites: Annotated[
        list[str] | None, typer.Argument(help="Site ids, site files or folders; all sites when left out.")
    ] = None,
    as_json: Json = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes; by default as many as help.")
    ] = None,
) -> None:
    """Check site files in seconds: the files, the resources they make, the policies, the cost, the secrets."""
    started = time.monotonic()
    with reported(as_json):
        from edge.run.check import Report, check_between
        from edge.run.pool import check_files
        from edge.run.selection import selected
        from engine.environment import PROJECT_ROOT

        files = selected(sites or [], PROJECT_ROOT)
        result = Report()
        table = None
        if not as_json:
            from edge.show.check import Table, report
            from edge.show.render import console

            out = console()
            table = Table(out, files)
            table.header()
        for site in check_files(files, PROJECT_ROOT, jobs):
            result.sites.append(site)
            if table is not None:
                table.row(site)
        result.between = check_between(result.sites, PROJECT_ROOT)
        result.duration_s = time.monotonic() - started
        if table is None:
            print_json(result.as_dict())
        else:
            report(out, result)
        raise typer.Exit(result.code)


@app.command(epilog="Examples:  edge preview prod --rehearse   |   edge preview prod --rehearse --json | jq .counts")
def preview(
    site: Site,
    rehearse: Rehearse = False,
    as_json: Json = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show each property that changes, old and new.")] = False,
) -> None:
    """Show what `up` would do to a site, with the policies' findings and the cost. Changes nothing."""
    with reported(as_json), session(site, rehearse=rehearse) as opened:
        finish(_preview(opened, quiet=as_json), as_json, diff=diff)


@app.command(epilog="Examples:  edge up demo --rehearse   |   edge up prod   |   edge up prod --yes --drift --json")
def up(
    site: Site,
    rehearse: Rehearse = False,
    yes: Yes = False,
    drift: Annotated[
        bool, typer.Option("--drift", help="Look at the hosts as well, at the same time; as `edge drift` does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring a site to what its file says. Policies judge the preview before anything is changed."""
    with reported(as_json):
        if drift and rehearse:
            raise typer.BadParameter("--drift looks at hosts, and --rehearse has none")
        if not (yes or rehearse):
            require_terminal("up", site, as_json)
        look = _look(site) if drift else None
        with session(site, rehearse=rehearse, built=look.begin if look else None) as opened:
            planned = _preview(opened, quiet=as_json)
            if planned.code != DONE:
                finish(planned, as_json)
            if planned.run.changes_nothing:
                # To run the engine again would write down what is written already.
                done = dataclasses.replace(planned, operation="up")
            else:
                done = _applied(opened, planned, ask=not (yes or rehearse), quiet=as_json)
                if look and done.code == DONE:
                    look.again()
            if look and done.code == DONE:
                from edge.show.drift import counting

                with counting() as tell:
                    done.drift = look.result(tell)
                done.code = done.drift.code
            finish(done, as_json)


def _look(site: str) -> Look:
    from edge.hosts.alongside import Look

    return Look(site)


def _applied(opened: Session, planned: Outcome, *, ask: bool, quiet: bool) -> Outcome:
    """What came of bringing a site up as previewed; leaves where whoever is asked does not want it."""
    if ask:
        show(planned, diff=False)
        if not typer.confirm(f"Do this to {opened.site}?", err=True):
            raise typer.Exit(FAILED)
    from edge.show.progress import progress

    with progress(f"up {opened.site}", quiet=quiet) as shown:
        done = opened.up(shown.step, shown.interrupted)
    done.run.policies = done.run.policies or planned.run.policies
    return done


@app.command(epilog="Examples:  edge destroy demo --rehearse   |   edge destroy old-shop --yes")
def destroy(
    site: Site,
    rehearse: Rehearse = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove everything that a site's stack holds, its hosts' software included. The stack's history stays."""
    with reported(as_json):
        if not (yes or rehearse):
            require_terminal("destroy", site, as_json)
        from edge.show.progress import progress

        with session(site, rehearse=rehearse, builds=False) as opened:
            if not (yes or rehearse):
                with progress(f"preview {site}") as shown:
                    planned = opened.preview(shown.step, shown.interrupted, destroy=True)
                show(planned, diff=False)
                if planned.code != DONE:
                    raise typer.Exit(planned.code)
                if typer.prompt(f"To destroy this, type the site's name ({site})", err=True) != site:
                    raise typer.Exit(FAILED)
            with progress(f"destroy {site}", quiet=as_json) as shown:
                done = opened.destroy(shown.step, shown.interrupted)
            finish(done, as_json)


@app.command(epilog="Examples:  edge outputs prod   |   edge outputs prod --json | jq -r .outputs.api_endpoint")
def outputs(
    site: Site,
    rehearse: Rehearse = False,
    as_json: Json = False,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print secret outputs in plain text.")] = False,
) -> None:
    """Show what a site's stack tells: endpoints, versions, cost."""
    with reported(as_json), session(site, rehearse=rehearse, builds=False) as opened:
        values = opened.outputs(show_secrets=show_secrets)
        if as_json:
            print_json({"site": opened.site, "mode": opened.mode, "outputs": values, "exit": DONE})
        else:
            from edge.show import render

            render.outputs(render.console(), values)


@app.command(epilog="Examples:  edge schema --write   |   edge schema --check")
def schema(
    check_only: Annotated[bool, typer.Option("--check", help="Only say whether the file is up to date.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write stacks/site.schema.json.")] = False,
    as_json: Json = False,
) -> None:
    """Print the JSON Schema of a site file, or write it to where editors look for it."""
    with reported(as_json):
        from engine.environment import PROJECT_ROOT
        from stacks.schema import FILE, render

        if check_only and write:
            raise typer.BadParameter("--check and --write exclude each other")
        path, text = PROJECT_ROOT / FILE, render()
        current = path.is_file() and path.read_text(encoding="utf-8") == text
        if write and not current:
            path.write_text(text, encoding="utf-8")
        if not check_only and not write:
            sys.stdout.write(text)
            return
        state = "written" if write and not current else "up to date" if current else "out of date"
        code = FAILED if check_only and not current else DONE
        if as_json:
            print_json({"file": FILE.as_posix(), "state": state, "exit": code})
        else:
            typer.echo(f"{FILE.as_posix()}: {state}" + ("; `edge schema --write` renews it" if code else ""))
        raise typer.Exit(code)


@app.command(epilog="Examples:  edge doctor   |   edge doctor prod --json")
def doctor(
    site: Annotated[str | None, typer.Argument(help="Site whose hosts and secrets are looked at as well.")] = None,
    as_json: Json = False,
) -> None:
    """Say whether this machine can roll out for real: engine, plugins, backend, secrets; with SITE, its hosts."""
    with reported(as_json):
        from edge.hosts.doctor import examine
        from edge.show import render
        from engine.environment import PROJECT_ROOT

        items = list(examine(site, PROJECT_ROOT))
        code = FAILED if any(item.status == "broken" for item in items) else DONE
        if as_json:
            print_json({"items": [item.as_dict() for item in items], "exit": code})
        else:
            render.doctor(render.console(), items)
        raise typer.Exit(code)


@app.command(epilog="Examples:  edge drift   |   edge drift prod demo   |   edge drift prod --json")
def drift(
    sites: Annotated[
        list[str] | None, typer.Argument(help="Site ids, site files or folders; all sites when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare hosts with what their site files plan: files, settings, units, releases. Looks, and changes nothing."""
    with reported(as_json):
        from edge.hosts.drift import look
        from edge.run.selection import selected
        from edge.show.drift import counting, report
        from edge.show.render import console
        from engine.environment import PROJECT_ROOT

        files = selected(sites or [], PROJECT_ROOT)
        with counting() as tell:
            result = look(files, PROJECT_ROOT, tell)
        if as_json:
            print_json(result.as_dict())
        else:
            report(console(), result)
        raise typer.Exit(result.code)


@contextmanager
def session(site: str, *, rehearse: bool, builds: bool = True, built: Built | None = None) -> Iterator[Session]:
    from edge.run.operation import opened
    from engine.environment import PROJECT_ROOT

    with opened(site, rehearse=rehearse, builds=builds, root=PROJECT_ROOT, built=built) as one:
        yield one


def _preview(opened: Session, *, quiet: bool) -> Outcome:
    from edge.show.progress import progress

    with progress(f"preview {opened.site}", quiet=quiet) as shown:
        return opened.preview(_no_step if quiet or not sys.stderr.isatty() else shown.step, shown.interrupted)


def _no_step(_step: object) -> None:
    """A preview is over before its lines could be read; they are in the result."""


def finish(result: Outcome, as_json: bool, *, diff: bool = False) -> NoReturn:
    """Show what came of it, and leave with its exit code."""
    if as_json:
        print_json(result.as_dict())
    else:
        show(result, diff=diff)
        if result.operation == "up" and result.code == DONE and result.run.outputs:
            from edge.show import render

            render.outputs(render.console(), result.run.outputs)
        if result.drift is not None:
            from edge.show import drift as render_drift
            from edge.show import render

            render_drift.report(render.console(), result.drift)
    raise typer.Exit(result.code)


def show(result: Outcome, *, diff: bool) -> None:
    from edge.show import render

    render.outcome(render.console(), result, diff=diff)


def require_terminal(command: str, site: str, as_json: bool) -> None:
    """What cannot be asked has to be said beforehand."""
    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter(f"nobody can be asked here: `edge {command} {site} --yes` goes ahead without asking")


def print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turns errors into messages and exit codes. With EDGE_DEBUG set, unexpected ones keep their traces."""
    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except KeyboardInterrupt:
        typer.echo("Interrupted.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read has had enough (`| head`); the interpreter must not complain about it at its end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(DONE) from None
    except Exception as error:
        if os.environ.get("EDGE_DEBUG"):
            raise
        raise typer.Exit(_explain(error, as_json)) from None


def _explain(error: Exception, as_json: bool) -> int:
    from edge.run.failure import OperationError
    from engine.obtain.cli import EngineError
    from sitefile.problems import SiteError

    if isinstance(error, SiteError):
        problems = [problem.as_dict() for problem in error.problems]
        return _complain(as_json, BAD_INPUT, lambda: typer.echo(str(error), err=True), {"problems": problems})
    if isinstance(error, OperationError):
        from edge.show import render

        def complain() -> None:
            render.failure(render.console(stderr=True), error)

        return _complain(as_json, error.code, complain, {"error": error.as_dict()})
    what = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
    hint = "" if isinstance(error, EngineError) else "\nThis is a fault of edge; EDGE_DEBUG=1 shows where."
    return _complain(as_json, FAILED, lambda: typer.echo(what + hint, err=True), {"error": {"what": what}})


def _complain(as_json: bool, code: int, complain: Callable[[], None], document: dict[str, Any]) -> int:
    if as_json:
        print_json({**document, "exit": code})
    else:
        complain()
    return code


def main() -> None:
    """Entry point of the `edge` script."""
    # What is made here stays until the end: looking for cycles every 700 objects costs a tenth of the time.
    gc.set_threshold(100_000, 50, 100)
    # Site files are found from the project, not from the folder that `edge` was called in.
    root = Path(__file__).resolve().parent.parent
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    code = 1
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        # What typer lets through, with EDGE_DEBUG set, is somebody's to read.
        traceback.print_exc()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Everything that was opened is closed. Taking the interpreter apart, gRPC and the SDKs in it, takes a fifth of a
    # second, and there is nothing in it that the system does not do.
    os._exit(code)


if __name__ == "__main__":
    main()
