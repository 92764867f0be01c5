"""`edge sbom`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands import several
from edge.commands.options import All, Jobs, Selector, SomeSites, selection
from edge.exit_codes import DONE, FAILED

if TYPE_CHECKING:
    from edge.run.bill import Bill

EXAMPLES = (
    "edge sbom prod   |   edge sbom prod --json > prod.cdx.json   |   edge sbom --all --out boms   |   "
    "edge sbom --all --runs k3s   |   edge sbom --all --osv osv.zip   |   edge sbom --all --sizes"
)


def run(
    sites: SomeSites = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One CycloneDX document of a site; with --runs or --osv, what was found.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a CycloneDX document for each site into this folder.")
    ] = None,
    runs: Annotated[
        str | None,
        typer.Option("--runs", metavar="TEXT", help="Which sites run this: part of a name, a version, a digest."),
    ] = None,
    osv: Annotated[
        Path | None,
        typer.Option("--osv", metavar="PATH", help="Match with vulnerabilities: OSV file, folder or ZIP. No network."),
    ] = None,
    sizes: Annotated[
        bool,
        typer.Option(
            "--sizes", help="Ask for the size of each, and keep it for `edge pr`. Needs crane and the network."
        ),
    ] = False,
    selector: Selector = None,
    everything: All = False,
    jobs: Jobs = None,
) -> int:
    """List what sites run: every binary, image, chart and model, with version and digest."""
    if (runs is not None) + (osv is not None) + sizes > 1:
        raise typer.BadParameter("--runs, --osv and --sizes are different questions: ask one of them")
    from edge.run.osv import entries_in, matches
    from edge.run.project import project_root
    from edge.show import sbom as shown
    from edge.show.document import print_json
    from edge.show.render import console

    root = project_root()
    files = several.files_for(selection(sites, selector, everything, command="sbom"), root)
    if as_json and len(files) != 1 and not (out or runs or osv or sizes):
        raise typer.BadParameter(f"--json is a document of one site, and these are {len(files)}: add `--out FOLDER`")
    # Read before anything is built: what cannot be read is said at once.
    entries = list(entries_in(osv)) if osv is not None else []
    bills = _bills(files, root, jobs)
    if out is not None:
        _write(bills, out)
    if sizes:
        return _sizes(bills, root, as_json)
    if osv is not None:
        found = matches(bills, iter(entries))
        code = FAILED if found else DONE
        if as_json:
            print_json({"entries": len(entries), "matches": [one.as_dict() for one in found], "exit": code})
        else:
            shown.vulnerable(console(), found, len(entries), len(bills))
        return code
    if runs is not None:
        where = shown.who_runs(bills, runs)
        if as_json:
            print_json({"asked": runs, "found": [{**item.as_dict(), "sites": of} for item, of in where], "exit": DONE})
        else:
            shown.running(console(), where, runs, len(bills))
    elif as_json and out is None:
        from edge.run.bill import cyclonedx

        print_json(cyclonedx(bills[0]))
    elif out is None:
        shown.bills(console(), bills)
    else:
        typer.echo(f"{len(bills)} document{'s' * (len(bills) != 1)} in {out}")
    return DONE


def _sizes(bills: Sequence[Bill], root: Path, as_json: bool) -> int:
    from edge.run.sizes import asked_for, renew
    from edge.show import sbom as shown
    from edge.show.document import print_json
    from edge.show.progress import counting
    from edge.show.render import console

    wanted = sorted(
        {
            (replace(item, where=(), everywhere=False), arch)
            for bill in bills
            for item, arch in asked_for(bill.items, bill.archs)
        }
    )
    with counting("sbom", "sizes asked for") as tell:
        renewal = renew(wanted, root, tell)
    code = FAILED if renewal.problems else DONE
    if as_json:
        print_json({"sizes": renewal.sizes, "asked": renewal.asked, "problems": renewal.problems, "exit": code})
    else:
        shown.sizes(console(), renewal)
    return code


def _bills(files: Sequence[Path], root: Path, jobs: int | None) -> list[Bill]:
    """The bills of the sites, in their order. Raises OperationError for a site whose program does not run."""
    from edge.run import pool
    from edge.run.bill import bill_of
    from edge.run.failure import OperationError
    from edge.run.judging import policies_of

    # What is wrong with the settings would otherwise be said once for each site.
    policies_of(root)
    names = [str(file) for file in files]
    if len(names) <= pool.ALONE and jobs is None:
        return [bill_of(name, root) for name in names]
    found: list[Bill] = []
    work = partial(bill_of, root=root)
    for name, result in zip(names, pool.each(work, names, pool.size(len(names), jobs)), strict=True):
        if isinstance(result, pool.Lost):
            raise OperationError(f"{name}: {result.reason}", (f"edge check {Path(name).stem}     says more",))
        found.append(result)
    return found


def _write(bills: Sequence[Bill], out: Path) -> None:
    from edge.run.bill import cyclonedx
    from edge.run.written_file import write_text
    from edge.show.document import as_text

    out.mkdir(parents=True, exist_ok=True)
    for bill in bills:
        write_text(str(out / f"{bill.site}.cdx.json"), f"{as_text(cyclonedx(bill))}\n")
