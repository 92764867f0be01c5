"""Arguments and options that several commands have."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge.run.selection import Selection


def complete_sites(incomplete: str) -> list[str]:
    """The sites of the project, for the shell."""
    from edge.run.project import project_root
    from stacks.loader import site_names

    return [name for name in site_names(project_root()) if name.startswith(incomplete)]


def complete_fields(incomplete: str) -> list[str]:
    """The fields of a site file, for the shell: those one level below what is written."""
    from edge.run.explain import site_fields

    depth = incomplete.count(".")
    fields = dict.fromkeys(field.path for field in site_fields().root.below())
    return [path for path in fields if path.startswith(incomplete) and path.count(".") == depth]


def complete_explained_files(incomplete: str) -> list[str]:
    """The files that `edge explain` knows, for the shell."""
    from edge.run.explain import FILES

    return [name for name in FILES if name.startswith(incomplete)]


def complete_bases(incomplete: str) -> list[str]:
    """What a new site can be made from, for the shell."""
    from edge.run.project import project_root
    from stacks.catalogue import catalogue

    data = catalogue(project_root())
    names = (*complete_sites(""), *sorted(data.tiers), *sorted(data.hardware))
    return [name for name in names if name.startswith(incomplete)]


Site = Annotated[
    str,
    typer.Argument(
        help="Site id, or path of a site file (with --rehearse).", show_default=False, autocompletion=complete_sites
    ),
]
AnySite = Annotated[
    str,
    typer.Argument(help="Site id, or path of a site file.", show_default=False, autocompletion=complete_sites),
]
Sites = Annotated[
    list[str] | None,
    typer.Argument(
        help="Site ids, globs (`store-*`), site files or folders; all sites when left out.",
        autocompletion=complete_sites,
    ),
]
SomeSites = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SITES",
        help="Site ids, globs (`store-*`), site files or folders.",
        show_default=False,
        autocompletion=complete_sites,
    ),
]
Selector = Annotated[
    list[str] | None,
    typer.Option(
        "--selector",
        "-l",
        metavar="KEY=VALUE,...",
        help="Only sites that fit all terms: tier, region, group and labels, such as tier=near,region=eu-*,group=acme.",
    ),
]
All = Annotated[bool, typer.Option("--all", help="All sites.")]
ChangedSince = Annotated[
    str | None,
    typer.Option(
        "--changed-since", metavar="REF", help="Only sites whose plan is not what it is at this Git revision."
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Sites at the same time; by default as many as cores and memory allow."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output; progress on standard error.")]
JsonLines = Annotated[
    bool,
    typer.Option(
        "--json",
        help="One JSON document on standard output; of a selection of sites, a stream of events, one on each line.",
    ),
]
Rehearse = Annotated[
    bool,
    typer.Option(
        "--rehearse",
        help="Real engine, simulated providers: needs no credentials and no secrets, changes nothing real.",
    ),
]
AllowDestroy = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-destroy",
        metavar="HOST-OR-PART",
        help="Consent to what the preview says is destroyed; once for each host or part.",
    ),
]
Diff = Annotated[bool, typer.Option("--diff", help="Show every property that changes, old and new, as line diffs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def require_terminal(command: str, site: str, as_json: bool) -> None:
    """Refuse a command that has to ask, where nobody can answer."""
    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter(f"cannot ask without a terminal: `edge {command} {site} --yes` does not ask")


def selection(
    names: list[str] | None,
    selector: list[str] | None,
    everything: bool,
    changed_since: str | None = None,
    *,
    command: str = "",
) -> Selection:
    """What was asked for. A ``command`` that changes or runs something needs an answer to "which sites?"."""
    from edge.run.selection import Selection

    chosen = Selection(tuple(names or ()), tuple(selector or ()), everything, changed_since)
    if command and chosen.nothing:
        raise typer.BadParameter(f"name sites, or select them: `edge {command} SITE`, `-l tier=near`, `--all`")
    return chosen
