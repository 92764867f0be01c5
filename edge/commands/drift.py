"""`edge drift`."""

from __future__ import annotations

from edge.commands import several
from edge.commands.options import All, ChangedSince, Json, Selector, Sites, selection

EXAMPLES = "edge drift   |   edge drift prod demo   |   edge drift -l tier=near   |   edge drift prod --json"


def run(
    sites: Sites = None,
    as_json: Json = False,
    selector: Selector = None,
    everything: All = False,
    changed_since: ChangedSince = None,
) -> int:
    """Compare hosts with what their site files plan: files, settings, units, releases. Read-only."""
    from edge.hosts.drift import find_drift, remember
    from edge.run.project import project_root
    from edge.show.document import print_json
    from edge.show.drift import report
    from edge.show.progress import counting
    from edge.show.render import console

    root = project_root()
    files = several.files_for(selection(sites, selector, everything, changed_since), root)
    with counting("drift", "hosts probed") as tell:
        result = find_drift(files, root, tell)
    remember(result, root)
    if as_json:
        print_json(result.as_dict())
    else:
        report(console(), result)
    return result.code
