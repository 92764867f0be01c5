"""`edge secrets` in a terminal: by site, what each secret is for, whether it is set, and what to do. Never a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from rich.console import Console
from rich.text import Text

from edge.run.shared_secrets import SharedSecret
from edge.run.site_secrets import Change, SecretState
from edge.show.lines import paragraph
from edge.show.render import failure, remedies
from stacks.configuration import full_key

_STYLES = {"set": "green", "shared": "green", "missing": "yellow", "plain text": "bold red", "in Pulumi ESC": "dim"}


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
    now = datetime.now(UTC)
    width = max((len(one.key) for one in states), default=0)
    for site, group in groupby(states, key=lambda one: one.site):
        own = list(group)
        out.print(Text.assemble((site, "bold"), (f"  {own[0].file}", "dim")))
        for one in own:
            age = one.age.words(now) if one.age else ""
            line = Text.assemble(f"  {one.key:{width}}  ", (f"{one.state:10}", _STYLES[one.state]), (f"  {age}", "dim"))
            line.rstrip()
            out.print(line)
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


def shared_listing(out: Console, found: Sequence[SharedSecret], *, set_now: bool = False) -> None:
    """The secrets that sites share. ``set_now``: one was just set, and sites have the old value."""
    now = datetime.now(UTC)
    width = max((len(one.key) for one in found), default=0)
    for one in found:
        state = (f"{one.state:10}", _STYLES[one.state])
        line = Text.assemble(f"  {one.key:{width}}  ", state, (f"  {one.age.words(now)}", "dim"))
        line.rstrip()
        out.print(line)
        paragraph(out, f"used by {_sites(one.used_by)}", "dim", "      ")
    if not found:
        out.print("Sites share no secret.")
        remedies(out, ["edge secrets --shared --set KEY < FILE     sets one for all sites that have none of their own"])
    elif set_now:
        remedies(out, ["edge up SITES     brings the new value to the sites that use it"])


def _sites(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown or "no site"


def _ways(missing: Sequence[SecretState], exposed: Sequence[SecretState]) -> list[str]:
    makeable = list(dict.fromkeys(one.site for one in missing if one.generated))
    others = [one for one in (*exposed, *missing) if not one.generated or one in exposed]
    makes = f"edge secrets {' '.join(makeable[:3])} --generate     makes and sets those that can be made"
    ways = [makes] if makeable else []
    lacking = Counter(one.key for one in missing if not one.own)
    ways += [
        f"edge secrets --shared --set {key} < FILE     sets it once, for all sites without one of their own"
        for key, sites in lacking.most_common(1)
        if sites > 1
    ]
    if others:
        first = others[0]
        ways.append(f"edge secrets {first.site} --set {first.key} < FILE     sets it ({full_key(first.key)})")
    return ways
