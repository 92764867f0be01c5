"""`edge explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import Json, complete_explained_files, complete_fields, complete_sites
from edge.exit_codes import DONE

EXAMPLES = (
    "edge explain   |   edge explain k3s.datastore.kind   |   edge explain k3s.version --site prod   |   "
    "edge explain tailnet --in fleet"
)


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
    file: Annotated[
        str,
        typer.Option(
            "--in",
            metavar="FILE",
            help="Another file than a site's: fleet, group, tier, hardware, accelerators, models, policies, waivers.",
            autocompletion=complete_explained_files,
        ),
    ] = "site",
    as_json: Json = False,
) -> int:
    """Explain a field of site files: meaning, type, unit, default, choices, example, and the fields below it."""
    from edge.run.explain import FILES, SITE, choices, explained, values_at
    from edge.run.project import project_root
    from edge.show.document import print_json
    from edge.show.explain import explanation, values
    from edge.show.render import console
    from sitefile.layers import Layers
    from stacks.loader import site_layers

    if site and file != SITE:
        raise typer.BadParameter("--site shows a value of a site file: it cannot go with --in")
    found = explained(field, file)
    root = project_root()
    at = [values_at(one, site, root) for one in found] if site else []
    if as_json:
        listed = [(one, choices(one, root) if file == SITE else []) for one in found]
        fields = [{**one.as_dict(), "choices": [choice.as_dict() for choice in of]} for one, of in listed]
        document = {"file": file, "fields": fields, "site": Path(site).stem if site else None}
        print_json({**document, "values": [value.as_dict() for values in at for value in values], "exit": DONE})
        return DONE
    out, layers = console(), site_layers(root) if file == SITE else Layers()
    for number, one in enumerate(found):
        if number:
            out.print()
        explanation(out, one, layers, choices(one, root) if file == SITE else [], FILES[file][0])
        if site:
            values(out, Path(site).stem, one, at[number], root)
    return DONE
