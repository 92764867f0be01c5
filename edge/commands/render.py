"""`edge render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import AnySite, Json
from edge.exit_codes import DONE

EXAMPLES = "edge render prod | less   |   edge render prod --out /tmp/prod   |   edge render prod --json | jq .files"


def run(
    site: AnySite,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the files into this folder; printed when left out.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Show every script, file and manifest of a site as it would arrive. Placeholders stand in for secrets."""
    from edge.run.rendering import rendered, write
    from edge.show.document import print_json
    from edge.show.lines import visible
    from engine.environment import PROJECT_ROOT

    files = rendered(site, PROJECT_ROOT)
    if out is not None:
        write(files, out)
    if as_json:
        print_json({"site": Path(site).stem, "out": str(out) if out else None, "files": files, "exit": DONE})
    elif out is not None:
        typer.echo(f"{len(files)} files in {out}")
    else:
        for path, content in files.items():
            typer.echo(f"==> {path} <==")
            typer.echo("\n".join(visible(line) for line in content.rstrip("\n").split("\n")) + "\n")
    return DONE
