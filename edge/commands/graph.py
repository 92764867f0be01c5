"""`edge graph`."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from edge.commands.options import Json, Rehearse
from edge.exit_codes import DONE

EXAMPLES = (
    "edge graph prod   |   edge graph prod --svg prod.svg   |   edge graph prod --rehearse --against main   |   "
    "edge graph prod --json | jq .edges"
)


def run(
    site: Annotated[str, typer.Argument(help="Site id, or path of a site file.", show_default=False)],
    preview: Annotated[bool, typer.Option("--preview", help="Mark what `edge preview` finds: needs secrets.")] = False,
    rehearse: Rehearse = False,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="REF", help="With --rehearse: what changes since this Git revision."),
    ] = None,
    svg: Annotated[
        str | None, typer.Option("--svg", metavar="FILE", help="Write an SVG into this file; `-` is standard output.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Draw a site: hosts, parts, what waits for what. With --preview or --rehearse, also what would change."""
    if against is not None and not rehearse:
        raise typer.BadParameter("--against compares rehearsals: `edge graph SITE --rehearse --against REF`")
    if svg == "-" and as_json:
        raise typer.BadParameter("only one of `--svg -` and `--json` can have standard output")
    from edge.commands.preview import preview as previewed
    from edge.run.failure import OperationError
    from edge.run.operation import opened
    from edge.run.program import recorded_site
    from edge.run.project import project_root
    from edge.run.site_graph import graph_of, resources_of
    from edge.run.written_file import write_text
    from edge.show.consequences import consequences
    from edge.show.document import print_json
    from edge.show.graph_svg import svg as drawn
    from edge.show.graph_text import tree
    from edge.show.render import console, failure
    from stacks.catalogue import catalogue

    root = project_root()
    spec, recording = recorded_site(site, root)
    outcome = None
    if preview or rehearse:
        with opened(site, rehearse=rehearse, root=root, against=against) as session:
            outcome = previewed(session, quiet=as_json or svg == "-")
    # A preview that ended before it came to any resource has nothing to mark.
    run = outcome.run if outcome and outcome.run.resources else None
    mode = outcome.mode if outcome and run else "written"
    graph = graph_of(spec, catalogue(root), resources_of(recording.resources, run), mode)
    if svg is not None:
        write_text(svg, drawn(graph))
    if as_json:
        error = {"error": outcome.failure.as_dict()} if outcome and outcome.failure else {}
        print_json({**graph.as_dict(), **error, "exit": outcome.code if outcome else DONE})
    elif svg is None:
        if outcome is not None:
            consequences(console(), outcome.consequences)
        tree(console(), graph)
    if outcome is None:
        return DONE
    if outcome.code and not as_json:
        options = [*(["--rehearse"] if rehearse else []), *(["--against", against] if against else [])]
        command = shlex.join(["edge", "preview", site, *options])
        why = OperationError("The preview failed.", (f"{command}     says why",))
        failure(console(stderr=True), outcome.failure or why)
    return outcome.code
