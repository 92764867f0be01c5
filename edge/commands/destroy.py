"""`edge destroy`."""

from __future__ import annotations

import typer

from edge.commands.options import Json, Rehearse, Site, Yes, require_terminal
from edge.exit_codes import DONE, FAILED

EXAMPLES = "edge destroy demo --rehearse   |   edge destroy old-shop --yes"


def run(site: Site, rehearse: Rehearse = False, yes: Yes = False, as_json: Json = False) -> int:
    """Remove everything that a site's stack holds, including the software on its hosts. The stack's history stays."""
    if not (yes or rehearse):
        require_terminal("destroy", site, as_json)
    from edge.run.operation import opened_stack
    from edge.run.project import project_root
    from edge.show.document import print_json
    from edge.show.progress import progress
    from edge.show.render import console, outcome

    with opened_stack(site, rehearse=rehearse, root=project_root()) as session:
        if not (yes or rehearse):
            with progress(f"preview {site}") as shown:
                planned = session.preview_destroy(shown.step, shown.interrupted)
            outcome(console(), planned)
            if planned.code != DONE:
                return planned.code
            if typer.prompt(f"To destroy this, type the site's name ({site})", err=True) != site:
                return FAILED
        with progress(f"destroy {site}", quiet=as_json) as shown:
            done = session.destroy(shown.step, shown.interrupted)
    if as_json:
        print_json(done.as_dict())
    else:
        outcome(console(), done)
    return done.code
