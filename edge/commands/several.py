"""What the commands on many sites have in common: which sites, how many at the same time, and what is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.run.changed import Changed
    from edge.run.check import SiteCheck
    from edge.run.many import Command, Job, Summary, Work
    from edge.run.selection import Selection


def files_for(chosen: Selection, root: Path, jobs: int | None = None) -> list[Path]:
    """The selected site files; with `--changed-since`, those that have changed, and on standard error how many."""
    files = chosen.files(root)
    if chosen.changed_since is None:
        return files
    from edge.run.changed import changed_since

    found = changed_since(chosen.changed_since, files, root, jobs)
    _say(found)
    return list(found.files)


def checks_of_changed(
    command: str, chosen: Selection, root: Path, jobs: int | None = None, *, quiet: bool = False
) -> list[SiteCheck]:
    """The checks of those that have changed since a revision, and on standard error how many; with progress."""
    from edge.run.check import check_changed
    from edge.show.progress import counting

    with counting(command, "sites compared", quiet=quiet) as tell:
        found, checks = check_changed(chosen.changed_since or "", chosen.files(root), root, jobs, tell)
    _say(found)
    return checks


def _say(found: Changed) -> None:
    from edge.show.lines import paragraph
    from edge.show.render import console

    for line in found.lines():
        paragraph(console(stderr=True), line, "cyan", indent="")


def files_with_fleet(chosen: Selection, root: Path, jobs: int | None = None) -> list[Path]:
    """As ``files_for``, and the fleet file where it is meant: no selector fits the fleet, and no changed site is it."""
    from edge.run.selection import selected_with_fleet

    return files_for(chosen, root, jobs) if chosen.narrowed else selected_with_fleet(chosen.names, root)


def jobs_for(chosen: Selection, root: Path, jobs: int | None = None, **more: Any) -> list[Job]:
    """A job for each selected site."""
    from edge.run import many

    return [replace(job, **more) for job in many.jobs(files_for(chosen, root, jobs), root)]


def run(
    command: Command,
    todo: Sequence[Job],
    work: Work,
    *,
    as_json: bool,
    jobs: int | None = None,
    engine: bool = True,
    title: str = "",
) -> Summary:
    """Do all jobs and show their progress. ``engine``: whether each starts one."""
    from edge.run import many, pool
    from edge.show.many import watching

    workers = pool.size(len(todo), jobs, many.ENGINE_MIB if engine else pool.WORKER_MIB)
    with watching(title or command, [job.name for job in todo], as_json=as_json) as watch:
        return many.run(command, todo, work, watch, workers)
