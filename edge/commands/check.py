"""`edge check`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from edge.commands import several
from edge.commands.options import All, ChangedSince, Json, Selector, Sites, selection
from edge.exit_codes import FAILED

EXAMPLES = (
    "edge check   |   edge check prod demo   |   edge check -l tier=near,customer=acme   |   edge check fleet   |   "
    "edge check prod --against HEAD~1 --json   |   edge check --manifests apps --rules pss-restricted   |   "
    "edge check --sarif edge.sarif"
)


def run(
    sites: Sites = None,
    as_json: Json = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="STATE-OR-REF",
            help="Say what the edits do to sites that are up: since a Git revision, or against an exported state.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Worker processes; by default as many as help.")
    ] = None,
    selector: Selector = None,
    everything: All = False,
    changed_since: ChangedSince = None,
    manifests: Annotated[
        list[str] | None,
        typer.Option(
            "--manifests",
            metavar="PATH",
            help="Judge what Flux will apply instead of sites: a file, a folder, a kustomization (rendered by "
            "`kustomize` or `kubectl`), or `-` for standard input. May be given several times.",
        ),
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--rules",
            metavar="ID-OR-GROUP",
            help="With --manifests: only these rules, by id, by group, or pss-baseline or pss-restricted. "
            "May be given several times.",
        ),
    ] = None,
    kubernetes: Annotated[
        str | None,
        typer.Option(
            "--kubernetes",
            metavar="1.N",
            help="With --manifests: the Kubernetes that will run them; by default the newest that the rules know.",
        ),
    ] = None,
    sarif: Annotated[
        Path | None,
        typer.Option("--sarif", metavar="FILE", help="Write the findings to this file too, as SARIF 2.1.0."),
    ] = None,
    charts: Annotated[
        bool,
        typer.Option(
            "--charts",
            help="First render the Helm charts (needs helm and the network), and record what the rules say of them.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="A row for each site, also where there is nothing to say of it.")
    ] = False,
) -> int:
    """Check site files and the fleet file in seconds: errors, policies, missing secrets. Silent on what is well."""
    started = time.monotonic()
    if manifests:
        of_sites = {"--against": against, "--selector": selector, "--all": everything, "--changed-since": changed_since}
        for option, given in {"SITES": sites, **of_sites}.items():
            if given:
                raise typer.BadParameter(f"--manifests judges files in place of sites: it cannot go with {option}")
        return _manifests(manifests, rules or [], kubernetes, sarif, charts=charts, as_json=as_json, started=started)
    if rules or kubernetes:
        option = "--rules goes" if rules else "--kubernetes goes"
        raise typer.BadParameter(f"{option} with --manifests: a site is judged by all rules, for the release it runs")
    from edge.run import against as comparing
    from edge.run.check import Report, SiteCheck, check_between, check_files, check_shared, check_waivers, compared
    from edge.run.judging import policies_of
    from edge.run.project import project_root
    from edge.show.check import Table, edits, report
    from edge.show.document import print_json
    from edge.show.progress import counting
    from edge.show.render import console

    root = project_root()
    # What is wrong with them would otherwise be said once for each site.
    policies_of(root)
    chosen = selection(sites, selector, everything, changed_since)
    checked: Iterable[SiteCheck] | None = None
    # Charts are rendered before anything is judged by them, so which sites have changed must be known first.
    if chosen.changed_since is not None and not charts:
        checked = several.checks_of_changed("check", chosen, root, jobs, quiet=as_json)
        files = [one.file for one in checked]
    else:
        files = several.files_with_fleet(chosen, root, jobs)
    result, out = Report(), console()
    if charts:
        from edge.run import chart_renewal
        from edge.show.check import renewal

        renewed = chart_renewal.renew(files, root)
        result.charts_failed = renewed.problems
        if not as_json:
            renewal(out, renewed.rendered, renewed.problems)
    table = None if as_json else Table(out, files, everything=verbose)
    with comparing.before(against, root) if against else nullcontext() as before:
        checked = checked or check_files(files, root, jobs)
        if before is not None:
            # What an edit destroys comes first, above the table.
            checked = [compared(found, before) for found in checked]
            if table is not None:
                edits(out, checked)
        with counting("check", "sites checked", quiet=as_json) as tell:
            for number, found in enumerate(checked, 1):
                result.add(found, root)
                tell(number, len(files))
                if table is not None:
                    table.row(found)
    result.shared = (*check_shared(files, root), *check_waivers(result, root, everywhere=not chosen.narrowed))
    result.between = check_between(result.sites, root)
    result.duration_s = time.monotonic() - started
    if sarif is not None:
        from edge.run import sarif as log

        log.write(sarif, log.of_sites(result, policies_of(root).catalogue))
    if as_json:
        print_json(result.as_dict())
    else:
        report(out, result)
    return result.code


def _manifests(
    paths: list[str],
    rules: list[str],
    kubernetes: str | None,
    sarif: Path | None,
    *,
    charts: bool,
    as_json: bool,
    started: float,
) -> int:
    from edge.run import sarif as log
    from edge.run.manifests import check_manifests
    from edge.run.project import judging_root
    from edge.show.document import print_json
    from edge.show.manifests import report
    from edge.show.render import console
    from policies.rules.kubernetes_version import minor
    from policies.rules.model import NEWEST_KUBERNETES

    of_release = NEWEST_KUBERNETES if kubernetes is None else minor(kubernetes)
    if of_release is None:
        raise typer.BadParameter(f"--kubernetes: `{kubernetes}` is no release of Kubernetes; write one as `1.36`")
    failed: tuple[str, ...] = ()
    if charts:
        from edge.run.chart_renewal import renew_manifests
        from edge.show.check import renewal

        renewed = renew_manifests(paths, judging_root())
        failed = renewed.problems
        if not as_json:
            renewal(console(), renewed.rendered, failed)
    result = check_manifests(paths, rules, judging_root(), of_release)
    duration_s = time.monotonic() - started
    if sarif is not None:
        log.write(sarif, log.of_manifests(result))
    if as_json:
        print_json({**result.as_dict(), "charts_failed": list(failed), "duration_s": round(duration_s, 3)})
    else:
        report(console(), result, duration_s)
    return max(result.code, FAILED) if failed else result.code
