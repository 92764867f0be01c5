"""`edge pr`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import Jobs, Json, Selector, Sites, selection

EXAMPLES = (
    "edge pr --base origin/main   |   edge pr --base origin/main --out comment.md   |   edge pr --base HEAD~1 'store-*'"
)


def run(
    base: Annotated[str, typer.Option("--base", metavar="REF", help="What the pull request is to be merged into.")],
    sites: Sites = None,
    selector: Selector = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the comment to this file.")] = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> int:
    """Say what a pull request does to all sites, as one Markdown comment. Needs no credentials; changes nothing.

    Exit code 1: a site cannot be previewed, or a policy refuses it. The comment is written all the same.
    """
    from edge.exit_codes import DONE, FAILED
    from edge.run.changed import changed_since
    from edge.run.project import project_root
    from edge.run.pull_request import previews
    from edge.show.document import print_json
    from edge.show.progress import counting
    from edge.show.pull_request import PullRequest, SiteChange, comment

    chosen = selection(sites, selector, False)
    root = project_root()
    changed = changed_since(base, chosen.files(root), root, jobs)
    found = []
    with counting("pr", "sites previewed") as tell:
        for one in previews(changed.files, base, root, jobs):
            found.append(SiteChange(one.site, one.nodes, one.document or {}, one.error, one.cost_before, one.uplink))
            tell(len(found), len(changed.files))
    unchanged = changed.asked - len(changed.files)
    whole = PullRequest(base, changed.commit, found, unchanged, changed.removed if chosen.nothing else ())
    text = comment(whole)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    if as_json:
        print_json(whole.as_dict())
    elif out is None:
        typer.echo(text, nl=False)
    return FAILED if whole.refused else DONE
