"""`edge secrets` in a terminal: by site, what each secret is for, whether it is set, and what to do. Never a value."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from edge.run.site_secrets import Change, SecretState
from edge.show.lines import paragraph
from edge.show.render import failure, remedies
from stacks.configuration import full_key

_STYLES = {"set": "green", "missing": "yellow", "plain text": "bold red", "in Pulumi ESC": "dim"}


def changes(out: Console, err: Console, done: Sequence[Change]) -> None:
    """What was set, and what was not."""
    for change in done:
        if change.keys:
            stack = " in a new stack" if change.new_stack else ""
            out.print(f"{change.site}: {', '.join(change.keys)} set{stack}")
        if change.failure:
            failure(err, change.failure)
        elif not change.keys:
            out.print(f"{change.site}: nothing to make")


def listing(out: Console, states: Sequence[SecretState]) -> None:
    """All secrets, by site."""
    width = max((len(one.key) for one in states), default=0)
    for site, group in groupby(states, key=lambda one: one.site):
        own = list(group)
        out.print(Text.assemble((site, "bold"), (f"  {own[0].file}", "dim")))
        for one in own:
            out.print(Text.assemble(f"  {one.key:{width}}  ", (f"{one.state:10}", _STYLES[one.state])))
            can = " (can be made: --generate)" if one.generated and one.state == "missing" else ""
            paragraph(out, one.why + can, "dim", "      ")
    missing = [one for one in states if one.state == "missing"]
    exposed = [one for one in states if one.state == "plain text"]
    out.print()
    if not missing and not exposed:
        out.print(Text(f"{len(states)} secrets, none missing", "bold green"))
        return
    parts = [f"{len(missing)} missing"] if missing else []
    parts += [f"{len(exposed)} in plain text: treat them as leaked, and change them"] if exposed else []
    out.print(Text(f"{len(states)} secrets, {'; '.join(parts)}", "bold yellow"))
    remedies(out, _ways(missing, exposed))


def _ways(missing: Sequence[SecretState], exposed: Sequence[SecretState]) -> list[str]:
    makeable = list(dict.fromkeys(one.site for one in missing if one.generated))
    others = [one for one in (*exposed, *missing) if not one.generated or one in exposed]
    makes = f"edge secrets {' '.join(makeable[:3])} --generate     makes and sets those that can be made"
    ways = [makes] if makeable else []
    if others:
        first = others[0]
        ways.append(f"edge secrets {first.site} --set {first.key} < FILE     sets it ({full_key(first.key)})")
    return ways
