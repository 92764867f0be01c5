"""`edge doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.commands.options import Json, complete_sites
from edge.exit_codes import DONE, FAILED

EXAMPLES = "edge doctor   |   edge doctor prod --json"


def run(
    site: Annotated[
        str | None,
        typer.Argument(help="Site whose hosts and secrets are checked too.", autocompletion=complete_sites),
    ] = None,
    as_json: Json = False,
) -> int:
    """Say whether this machine can roll out for real: engine, plugins, backend, secrets; with SITE, its hosts."""
    from edge.hosts.doctor import examine
    from edge.run.project import project_root
    from edge.show.doctor import doctor
    from edge.show.document import print_json
    from edge.show.render import console

    items = list(examine(site, project_root()))
    code = FAILED if any(item.status == "broken" for item in items) else DONE
    if as_json:
        print_json({"items": [item.as_dict() for item in items], "exit": code})
    else:
        doctor(console(), items)
    return code
