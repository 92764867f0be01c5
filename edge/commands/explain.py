"""`edge explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import Json, complete_fields, complete_sites
from edge.exit_codes import DONE

EXAMPLES = "edge explain   |   edge explain k3s.datastore.kind   |   edge explain k3s.version --site prod"


def run(
    field: Annotated[
        str,
        typer.Argument(
            help="A field of a site file, such as hosts.address or mesh.tailscale.tags; all when left out.",
            show_default=False,
            autocompletion=complete_fields,
        ),
    ] = "",
    site: Annotated[
        str | None,
        typer.Option(
            "--site",
            metavar="SITE",
            help="Show its value at this site too, and the file and line that it comes from.",
            autocompletion=complete_sites,
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Explain a field of site files: meaning, type, unit, default, choices, example, and the fields below it."""
    from edge.run.explain import choices, explained, values_at
    from edge.run.project import project_root
    from edge.show.document import print_json
    from edge.show.explain import explanation, values
    from edge.show.render import console
    from stacks.loader import site_layers

    found = explained(field)
    root = project_root()
    at = [values_at(one, site, root) for one in found] if site else []
    if as_json:
        fields = [{**one.as_dict(), "choices": [choice.as_dict() for choice in choices(one, root)]} for one in found]
        document = {"fields": fields, "site": Path(site).stem if site else None}
        print_json({**document, "values": [value.as_dict() for values in at for value in values], "exit": DONE})
        return DONE
    out, layers = console(), site_layers(root)
    for number, one in enumerate(found):
        if number:
            out.print()
        explanation(out, one, layers, choices(one, root))
        if site:
            values(out, Path(site).stem, one, at[number], root)
    return DONE
