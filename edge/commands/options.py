"""Arguments and options that several commands have."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

Site = Annotated[str, typer.Argument(help="Site id, or path of a site file (with --rehearse).", show_default=False)]
Sites = Annotated[list[str] | None, typer.Argument(help="Site ids, site files or folders; all sites when left out.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output; progress on standard error.")]
Rehearse = Annotated[
    bool,
    typer.Option(
        "--rehearse",
        help="Real engine, simulated providers: needs no credentials and no secrets, changes nothing real.",
    ),
]
AllowDestroy = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-destroy",
        metavar="HOST-OR-PART",
        help="Consent to what the preview says is destroyed; once for each host or part.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def require_terminal(command: str, site: str, as_json: bool) -> None:
    """Refuse a command that has to ask, where nobody can answer."""
    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter(f"cannot ask without a terminal: `edge {command} {site} --yes` does not ask")
