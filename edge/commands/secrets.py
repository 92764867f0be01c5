"""`edge secrets`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands import several
from edge.commands.options import All, ChangedSince, Json, Selector, Sites, selection
from edge.exit_codes import DONE, FAILED

if TYPE_CHECKING:
    from stacks.site import SiteSpec

EXAMPLES = (
    "edge secrets   |   edge secrets -l tier=near --generate   |   edge secrets prod --set ssh-private-key < id_ed25519"
)


def run(
    sites: Sites = None,
    generate: Annotated[
        bool,
        typer.Option("--generate", help="Make and set the missing ones that nobody needs to know (tokens of K3s)."),
    ] = False,
    key: Annotated[
        str | None,
        typer.Option("--set", metavar="KEY", help="Set this secret of the named sites, from standard input."),
    ] = None,
    as_json: Json = False,
    selector: Selector = None,
    everything: All = False,
    changed_since: ChangedSince = None,
) -> int:
    """List the secrets that sites need, which are missing and where each lies; set them. Never shows a value."""
    if generate and key:
        raise typer.BadParameter("--generate and --set exclude each other")
    # What changes settings is not done to all sites because none was named.
    chosen = selection(sites, selector, everything, changed_since, command="secrets" if generate or key else "")
    from edge.run.project import project_root
    from edge.run.site_secrets import generate as made
    from edge.run.site_secrets import require_key, set_value, sites_of, states_of
    from edge.show.document import print_json
    from edge.show.render import console
    from edge.show.secrets import changes, listing

    specs = sites_of(several.files_for(chosen, project_root()), project_root())
    if generate:
        done = [made(spec, project_root()) for spec in specs]
    elif key:
        short = require_key(specs, key)
        value = _value(short, specs, as_json)
        done = [set_value(spec, short, value, project_root()) for spec in specs]
    else:
        done = []
    states = [one for spec in specs for one in states_of(spec, project_root())]
    failed = max((change.code for change in done), default=DONE)
    code = failed or (FAILED if not (generate or key) and any(not one.sound for one in states) else DONE)
    if as_json:
        document = {"changed": [change.as_dict() for change in done], "secrets": [one.as_dict() for one in states]}
        print_json({**document, "exit": code})
        return code
    if done:
        changes(console(), console(stderr=True), done)
    listing(console(), states)
    return code


def _value(key: str, specs: list[SiteSpec], as_json: bool) -> str:
    """The value, from standard input; asked for without being shown at a terminal."""
    if sys.stdin.isatty() and not as_json:
        names = ", ".join(spec.site for spec in specs)
        value = str(typer.prompt(f"Value of {key} for {names} (not shown)", hide_input=True, err=True))
    else:
        value = sys.stdin.read()
    if not value.strip():
        raise typer.BadParameter(f"standard input is empty; expected the value of {key}")
    return value
