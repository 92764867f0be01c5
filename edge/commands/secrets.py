"""`edge secrets`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands import several
from edge.commands.options import All, ChangedSince, Json, Selector, Sites, selection
from edge.exit_codes import DONE, FAILED

if TYPE_CHECKING:
    from edge.run.selection import Selection

EXAMPLES = (
    "edge secrets   |   edge secrets -l tier=near --generate   |   "
    "edge secrets prod --set ssh-private-key < id_ed25519   |   edge secrets --shared --set telemetry-token < token"
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
    shared: Annotated[
        bool, typer.Option("--shared", help="The secrets that sites share; with --set, sets one for all of them.")
    ] = False,
    as_json: Json = False,
    selector: Selector = None,
    everything: All = False,
    changed_since: ChangedSince = None,
) -> int:
    """List the secrets that sites need, which are missing, where each lies, how old; set them. Shows no value."""
    if generate and (key or shared):
        raise typer.BadParameter(f"--generate and {'--set' if key else '--shared'} exclude each other")
    if shared:
        if key and any((sites, selector, everything, changed_since)):
            raise typer.BadParameter("--shared --set KEY sets it for all sites that share it: name none")
        return _shared(selection(sites, selector, everything, changed_since), key, as_json)
    # What changes settings is not done to all sites because none was named.
    chosen = selection(sites, selector, everything, changed_since, command="secrets" if generate or key else "")
    from edge.run.project import project_root
    from edge.run.site_secrets import generate as made
    from edge.run.site_secrets import require_key, set_value, sites_of, states_of, with_ages
    from edge.show.document import print_json
    from edge.show.render import console
    from edge.show.secrets import changes, listing

    root = project_root()
    specs = sites_of(several.files_for(chosen, root), root)
    if generate:
        done = [made(spec, root) for spec in specs]
    elif key:
        short = require_key(specs, key)
        value = _value(short, ", ".join(spec.site for spec in specs), as_json)
        done = [set_value(spec, short, value, root) for spec in specs]
    else:
        done = []
    states = with_ages([one for spec in specs for one in states_of(spec, root)], root)
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


def _shared(chosen: Selection, key: str | None, as_json: bool) -> int:
    from edge.run.project import project_root
    from edge.run.shared_secrets import require_shareable, set_shared, shared_secrets
    from edge.run.site_secrets import sites_of
    from edge.show.document import print_json
    from edge.show.render import console
    from edge.show.secrets import changes, shared_listing

    root = project_root()
    specs = sites_of(several.files_for(chosen, root), root)
    done = []
    if key:
        short = require_shareable(specs, key)
        done = [set_shared(short, _value(short, "all sites that share it", as_json), root)]
    found = shared_secrets(specs, root)
    exposed = not key and any(one.state == "plain text" for one in found)
    code = max((change.code for change in done), default=FAILED if exposed else DONE)
    if as_json:
        document = {"changed": [change.as_dict() for change in done], "secrets": [one.as_dict() for one in found]}
        print_json({**document, "exit": code})
        return code
    changes(console(), console(stderr=True), done)
    shared_listing(console(), found, set_now=key is not None and code == DONE)
    return code


def _value(key: str, whose: str, as_json: bool) -> str:
    """The value, from standard input; asked for without being shown at a terminal."""
    if sys.stdin.isatty() and not as_json:
        value = str(typer.prompt(f"Value of {key} for {whose} (not shown)", hide_input=True, err=True))
    else:
        value = sys.stdin.read()
    if not value.strip():
        raise typer.BadParameter(f"standard input is empty; expected the value of {key}")
    return value
