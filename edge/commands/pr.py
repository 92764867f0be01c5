"""`edge pr`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import Json, Sites

EXAMPLES = (
    "edge pr --base origin/main   |   edge pr --base origin/main --out comment.md   |   edge pr --base HEAD~1 'store-*'"
)


def run(
    base: Annotated[str, typer.Option("--base", metavar="REF", help="What the pull request is to be merged into.")],
    sites: Sites = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the comment to this file.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Sites at the same time.")] = None,
    as_json: Json = False,
) -> int:
    """Say what a pull request does to all sites, as one Markdown comment. Needs no credentials; changes nothing.

    Exit code 1: a site cannot be previewed, or a policy refuses it. The comment is written all the same.
    """
    from edge.exit_codes import DONE, FAILED
    from edge.run.pull_request import concerned, deleted, previews
    from edge.run.revision import commit_of
    from edge.run.selection import selected
    from edge.show.document import print_json
    from edge.show.progress import counting
    from edge.show.pull_request import PullRequest, SiteChange, comment
    from engine.environment import PROJECT_ROOT

    files = selected(sites or [], PROJECT_ROOT)
    looked_at = concerned(files, base, PROJECT_ROOT)
    found = []
    with counting("pr", "sites previewed") as tell:
        for one in previews(looked_at, base, PROJECT_ROOT, jobs):
            found.append(SiteChange(one.site, one.nodes, one.document or {}, one.error, one.cost_before))
            tell(len(found), len(looked_at))
    whole = PullRequest(
        base,
        commit_of(base, PROJECT_ROOT),
        found,
        len(files) - len(looked_at),
        deleted(base, PROJECT_ROOT) if not sites else (),
    )
    text = comment(whole)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    if as_json:
        print_json(whole.as_dict())
    elif out is None:
        typer.echo(text, nl=False)
    return FAILED if whole.refused else DONE
