"""`edge new` in a terminal: what was written, what was not taken over, and what is still missing."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from edge.run.check import Report, SiteCheck
from edge.run.new_site import Base, Draft
from edge.show.check import report as check_report
from edge.show.lines import paragraph
from edge.show.render import remedies


def report(out: Console, base: Base, draft: Draft, found: SiteCheck) -> None:
    """One new site."""
    out.print(Text(f"{draft.checked.source.file.as_posix()} written", "bold"))
    if base.left_out:
        paragraph(out, f"Not taken over from {base.name}, since it is that site's own: {', '.join(base.left_out)}.")
    if draft.system:
        paragraph(out, f"This hardware cannot have the default operating system; written instead: {draft.system}.")
    check_report(out, Report([found], duration_s=found.duration_s))
    remedies(
        out,
        (
            f"edge secrets {found.site}     lists the secrets that it needs, and makes those that nobody has to know",
            f"edge preview {found.site} --rehearse     shows what it would build",
        ),
    )
