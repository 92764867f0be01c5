"""`edge schema`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edge.commands.options import Json
from edge.exit_codes import DONE, FAILED

EXAMPLES = "edge schema --write   |   edge schema --check"


def run(
    check_only: Annotated[bool, typer.Option("--check", help="Only say whether the file is up to date.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write stacks/site.schema.json.")] = False,
    as_json: Json = False,
) -> int:
    """Print the JSON Schema of a site file, or write it to where editors look for it."""
    from edge.show.document import print_json
    from engine.environment import PROJECT_ROOT
    from stacks.schema import FILE, render

    if check_only and write:
        raise typer.BadParameter("--check and --write exclude each other")
    path, text = PROJECT_ROOT / FILE, render()
    if not check_only and not write:
        sys.stdout.write(text)
        return DONE
    current = path.is_file() and path.read_text(encoding="utf-8") == text
    if write and not current:
        path.write_text(text, encoding="utf-8")
    state = "up to date" if current else "written" if write else "out of date"
    code = DONE if current or write else FAILED
    if as_json:
        print_json({"file": FILE.as_posix(), "state": state, "exit": code})
    else:
        typer.echo(f"{FILE.as_posix()}: {state}" + ("; `edge schema --write` updates it" if code else ""))
    return code
