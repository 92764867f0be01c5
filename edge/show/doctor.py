"""`edge doctor` in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from edge.hosts.doctor_item import Item


def doctor(out: Console, items: Sequence[Item]) -> None:
    """All items under their subjects, with a remedy for each that needs one."""
    styles = {"ok": "green", "note": "cyan", "broken": "bold red"}
    width = max((len(item.name) for item in items), default=0)
    subject = ""
    for item in items:
        if item.subject != subject:
            subject = item.subject
            out.print(Text(subject, style="bold"))
        out.print(Text.assemble((f"  {item.status:6}  ", styles[item.status]), f"{item.name:{width}}  {item.detail}"))
        if item.remedy:
            out.print(Text.assemble((f"{'':10}> ", "cyan"), item.remedy))
    broken = sum(1 for item in items if item.status == "broken")
    line = f"{broken} of {len(items)} would stop a real run" if broken else "ready for a real run"
    out.print(Text(line, style="bold red" if broken else "bold green"))
