"""`edge init`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from edge.commands.options import Json
from edge.exit_codes import DONE

EXAMPLES = "edge init acme-edge   |   edge init acme-edge --ci gitlab --backend s3://acme-edge-state"


def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new repository's folder.", show_default=False)],
    name: Annotated[
        str, typer.Option("--name", help="Name of the Pulumi project; by default that of the folder.")
    ] = "",
    ci: Annotated[
        Literal["github", "gitlab", "none"], typer.Option("--ci", help="Whose workflows are written.")
    ] = "github",
    backend: Annotated[
        str, typer.Option("--backend", metavar="URL", help="Where the states are kept, such as s3://BUCKET.")
    ] = "",
    secrets_provider: Annotated[
        str,
        typer.Option(
            "--secrets-provider",
            metavar="PROVIDER",
            help="What encrypts the secrets of all stacks: passphrase, default (Pulumi Cloud), or the URL of a key.",
        ),
    ] = "passphrase",
    as_json: Json = False,
) -> int:
    """Write a repository for sites of your own: it holds none of this program's code, and pins one release of it.

    At a terminal it then asks for a first site, as `edge new` does.
    """
    from importlib.metadata import version

    from edge.commands import new
    from edge.run.new_repository import Repository, files_of, write
    from edge.show.document import print_json
    from stacks.project import DISTRIBUTION

    files = files_of(Repository(name or folder.resolve().name, version(DISTRIBUTION), ci, backend, secrets_provider))
    write(files, folder)
    if as_json:
        print_json({"folder": str(folder), "files": sorted(files), "exit": DONE})
        return DONE
    _say(folder, files)
    if not new.at_terminal():
        return DONE
    site = typer.prompt("Id of the first site (empty: later)", default="", show_default=False, err=True)
    if not site:
        return DONE
    os.chdir(folder)
    return new.run(site=site, base=typer.prompt("Hardware profile of its hosts", err=True))


def _say(folder: Path, files: dict[str, str]) -> None:
    from edge.show.render import console

    out = console()
    out.print(f"{len(files)} files written to {folder}", markup=False)
    for command, what in (
        (f"cd {folder}", ""),
        ("git init", "a plan of a pull request compares revisions"),
        ("python3 -m venv .venv", ""),
        (".venv/bin/pip install -r requirements.txt", "the release that this repository pins"),
        (".venv/bin/edge setup", "the Pulumi CLI, and schemas for your editor"),
        (".venv/bin/edge new SITE --from PROFILE", "a site; `edge explain hosts.hardware` lists profiles"),
    ):
        out.print(f"  > {command}" + (f"     {what}" if what else ""), markup=False)
