"""`edge status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import All, Json, Selector, Sites, selection

EXAMPLES = "edge status   |   edge status -l tier=near,region=eu-*   |   edge status --json | jq .counts"


def run(
    sites: Sites = None,
    selector: Selector = None,
    everything: All = False,
    rehearse: Annotated[bool, typer.Option("--rehearse", help="Of what was rehearsed here.")] = False,
    as_json: Json = False,
) -> int:
    """Show what was applied at each site, when, and how it ended, from the states alone. Needs no passphrase."""
    from edge.run.failure import OperationError
    from edge.run.project import project_root
    from edge.run.status import status
    from edge.show.document import print_json
    from edge.show.render import console
    from edge.show.status import report
    from stacks.loader import is_path

    chosen = selection(sites, selector, everything)
    unknown: OperationError | None = None
    root = project_root()
    try:
        # A stack has the name of its site's file.
        names = list(dict.fromkeys(one.stem for one in chosen.files(root)))
    except OperationError as error:
        if chosen.single is None:
            raise
        # Its stack may still be there.
        names, unknown = [Path(chosen.single).stem if is_path(chosen.single) else chosen.single], error
    found = status(names, root, rehearse=rehearse, everything=not (chosen.names or chosen.narrowed))
    if unknown is not None and found.sites[0].state == "never":
        raise unknown
    if as_json:
        print_json(found.as_dict())
    else:
        report(console(), found)
    return found.code
