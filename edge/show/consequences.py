"""Consequences in a terminal: what an edit destroys comes before everything else."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from components.consequence import Consequence, Effect

_STYLE = {
    Effect.IMPOSSIBLE: "bold red",
    Effect.DESTROYS: "bold red",
    Effect.INTERRUPTS: "yellow",
    Effect.HARMLESS: "dim",
}
_WORD = {Effect.IMPOSSIBLE: "cannot work", Effect.DESTROYS: "destroys", Effect.INTERRUPTS: "interrupts"}
_WIDTH = max(map(len, _WORD.values()))


def consequences(out: Console, found: Sequence[Consequence]) -> None:
    """The worst first, each with its reason and the way to do it right; what is harmless is only counted."""
    for one in found:
        if one.effect is Effect.HARMLESS:
            continue
        word = _WORD[one.effect]
        about = one.host or one.part
        out.print(Text.assemble((f"  {word:{_WIDTH}}  ", _STYLE[one.effect]), (f"{about}: ", "bold"), one.reason))
        if one.way:
            out.print(Text(f"  {'':{_WIDTH}}  do: {one.way}"))
    harmless = sum(one.effect is Effect.HARMLESS for one in found)
    if harmless and len(found) > harmless:
        out.print(Text(f"  {'harmless':{_WIDTH}}  {harmless} more", "dim"))
