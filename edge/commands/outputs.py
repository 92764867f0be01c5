"""`edge outputs`."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.commands.options import Json, Rehearse, Site
from edge.exit_codes import DONE

EXAMPLES = "edge outputs prod   |   edge outputs prod --json | jq -r .outputs.kubernetes_endpoint"


def run(
    site: Site,
    rehearse: Rehearse = False,
    as_json: Json = False,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print secret outputs in plain text.")] = False,
) -> int:
    """Show the outputs of a site's stack: endpoints, versions, cost."""
    from edge.run.operation import opened_stack
    from edge.show.document import print_json
    from edge.show.render import console, outputs
    from engine.environment import PROJECT_ROOT

    with opened_stack(site, rehearse=rehearse, root=PROJECT_ROOT) as session:
        values = session.outputs(show_secrets=show_secrets)
    if as_json:
        print_json({"site": session.site, "mode": session.mode, "outputs": values, "exit": DONE})
    else:
        outputs(console(), values)
    return DONE
