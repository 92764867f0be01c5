"""`edge schema`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edge.commands.options import Json
from edge.exit_codes import DONE, FAILED

EXAMPLES = "edge schema --write   |   edge schema --check   |   edge schema stacks/profiles/hardware.schema.json"


def run(
    file: Annotated[str | None, typer.Argument(help="Which schema to print; by default that of a site file.")] = None,
    check_only: Annotated[bool, typer.Option("--check", help="Only say whether the files are up to date.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write all of them.")] = False,
    as_json: Json = False,
) -> int:
    """Print the JSON Schema of a site file, or write those of all files to where editors look for them."""
    from edge.run.project import project_root
    from edge.show.document import print_json
    from sitefile.problems import any_of
    from stacks import schema

    if check_only and write:
        raise typer.BadParameter("--check and --write exclude each other")
    root = project_root()
    if not check_only and not write:
        wanted = next((path for path in schema.SCHEMAS if file in (None, path.as_posix(), path.name)), None)
        if wanted is None:
            raise typer.BadParameter(f"expected {any_of(path.as_posix() for path in schema.SCHEMAS)}")
        sys.stdout.write(schema.render(wanted, root))
        return DONE
    states = schema.write(root, check_only=check_only)
    code = FAILED if "out of date" in states.values() else DONE
    if as_json:
        print_json({"files": {path.as_posix(): state for path, state in states.items()}, "exit": code})
        return code
    for path, state in states.items():
        typer.echo(f"{path.as_posix()}: {state}")
    if code:
        typer.echo("`edge schema --write` updates them")
    return code
