"""The `edge` command: the list of its commands, and what their errors mean for messages and exit codes."""

from __future__ import annotations

import functools
import gc
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from edge.commands import (
    audit,
    check,
    destroy,
    doctor,
    drift,
    explain,
    graph,
    init,
    kubeconfig,
    new,
    outputs,
    pr,
    preview,
    render,
    report,
    sbom,
    schema,
    secrets,
    setup,
    status,
    up,
)
from edge.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED
from stacks.project import DISTRIBUTION, PROGRAM_ROOT, found

COMMANDS = (
    *(init, setup, new, check, render, graph, report, secrets, preview, pr, up, destroy, outputs, status, kubeconfig),
    *(drift, audit, sbom, doctor, explain, schema),
)

_BETWEEN_EXAMPLES = "   |   "
_HANDED_OVER = "EDGE_HANDED_OVER_IN"
"""Variable with the project whose own `edge` this is, so that it hands over once at most."""

app = typer.Typer(
    name="edge",
    help="Edge sites as code: check, rehearse and roll out what the files of sites describe.",
    epilog="Exit codes: 0 done, 1 failed or refused by a policy, 2 bad input, 130 interrupted. "
    "EDGE_DEBUG=1 shows stack traces and keeps the log of Pulumi.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"edge {version(DISTRIBUTION)}")
        raise typer.Exit(DONE)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of `edge` itself."""


def reported(command: Callable[..., int]) -> Callable[..., None]:
    """``command`` with errors as messages, and every end as an exit code. With EDGE_DEBUG, errors keep their traces."""

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        try:
            code = command(**arguments)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            code = INTERRUPTED
        except BrokenPipeError:
            # The reader of the output has closed it (`| head`). Without this, Python would fail again when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = DONE
        except Exception as error:
            if os.environ.get("EDGE_DEBUG"):
                raise
            code = _explain(error, as_json=arguments["as_json"])
        raise typer.Exit(code)

    return run


def _explain(error: Exception, *, as_json: bool) -> int:
    """Print an error for people or as a document; returns the exit code."""
    from edge.run.failure import OperationError
    from edge.show.document import print_json
    from edge.show.render import console, failure
    from engine.obtain.pin import EngineError
    from sitefile.problems import FileError

    document: dict[str, Any]
    if isinstance(error, FileError):
        code, document = BAD_INPUT, {"problems": [problem.as_dict() for problem in error.problems]}
    elif isinstance(error, OperationError):
        code, document = error.code, {"error": error.as_dict()}
    else:
        if not isinstance(error, EngineError):
            remedy = "this is a defect of edge; EDGE_DEBUG=1 shows where"
            error = OperationError(f"{type(error).__name__}: {error}", (remedy,))
        code, document = FAILED, {"error": {"what": str(error)}}
    if as_json:
        print_json({**document, "exit": code})
    elif isinstance(error, OperationError):
        failure(console(stderr=True), error)
    else:
        console(stderr=True).print(str(error))
    return code


def _register(module: ModuleType) -> None:
    name = module.__name__.rpartition(".")[2]
    # One example in each line: click would break them anywhere.
    examples = "\n".join(f"  {example}" for example in module.EXAMPLES.split(_BETWEEN_EXAMPLES))
    # The whole first sentence: click would cut it off.
    summary = " ".join((module.run.__doc__ or "").split()).partition(". ")[0].rstrip(".")
    app.command(name, short_help=summary, epilog=f"\b\nExamples:\n{examples}")(reported(module.run))


for _module in COMMANDS:
    _register(_module)


def _hand_over() -> None:
    """Go on as the `edge` of the project's own `.venv`, where it has one: the release that the project pins."""
    try:
        root = found(Path.cwd())
    except OSError:
        # The current folder is gone. Commands that need a project say so.
        return
    if root is None or root == PROGRAM_ROOT or os.environ.get(_HANDED_OVER) == str(root):
        return
    own = root / ".venv" / "bin" / "edge"
    if os.access(own, os.X_OK) and (root / ".venv").resolve() != Path(sys.prefix).resolve():
        os.execve(own, [str(own), *sys.argv[1:]], {**os.environ, _HANDED_OVER: str(root)})


def main() -> None:
    """Entry point of the `edge` script."""
    # The program's packages are found in any working directory.
    if str(PROGRAM_ROOT) not in sys.path:
        sys.path.insert(0, str(PROGRAM_ROOT))
    _hand_over()
    # By default Python looks for garbage after every 700 new objects: some hundred times while a command is imported.
    gc.set_threshold(50_000, 10, 10)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for a terminal that knows ASCII only
    from engine import loopback

    # Here, before anything talks to the engine; `pulumi` and every worker inherit it.
    os.environ.update(loopback.without_proxy(os.environ))
    app()


if __name__ == "__main__":
    main()
