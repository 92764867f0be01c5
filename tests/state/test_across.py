"""No live resource is replaced or deleted by a change of the program alone.

`fixtures/` holds the state of every site as the commit named in `fixtures/commit` made it, in a rehearsal. Each is
imported into a new stack, and this checkout's program is previewed on it by the real engine, without policies. Updates
in place and new resources are allowed. A site that is newer than the fixtures has no state to lose, and no test.
`renew.py` beside this file makes the fixtures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stacks.loader import site_names
from tests.engine_run import stack
from tests.state.renew import FIXTURES, fixture_sites, read_fixture

pytestmark = pytest.mark.engine

_HARMLESS = {"same", "create", "update", "read", "refresh"}


def lost(steps: list[dict[str, Any]]) -> list[str]:
    """What a preview would replace or delete: operation and URN of each step."""
    return [f"{step['op']} {step['urn']}" for step in steps if step["op"] not in _HARMLESS]


def test_there_is_a_state_to_compare_with() -> None:
    assert fixture_sites(), f"no state in {FIXTURES}: run `python -m tests.state.renew COMMIT`"


@pytest.mark.parametrize("site", fixture_sites())
def test_the_state_of_an_earlier_commit_goes_across_in_place(site: str, tmp_path: Path) -> None:
    assert site in site_names(), f"the site file of {site} is gone; its live resources would be deleted"
    deployment = tmp_path / "state.json"
    deployment.write_text(read_fixture(site))
    with stack(tmp_path / "stack", site) as run:
        run.pulumi("stack", "import", "--file", str(deployment))
        # The engine's own providers of plugins are not counted by a preview.
        held = len([resource for resource in run.resources() if "::default_" not in resource["urn"]])
        previewed = json.loads(run.pulumi("preview", "--json", "--non-interactive").stdout)
    assert held > 1, f"the state of {site} was not imported"
    # Unchanged resources have no step, but are counted.
    summary: dict[str, int] = previewed["changeSummary"]
    counts = ", ".join(f"{number} {op}" for op, number in sorted(summary.items()))
    losses = lost(previewed["steps"])
    assert not losses, f"{site} ({counts}) would lose live resources:\n" + "\n".join(losses)
    assert not summary.keys() - _HARMLESS, f"{site}: {counts}"
    # A program that built nothing would replace nothing.
    assert sum(summary.values()) >= held, f"{site}: the preview is of less than the {held} resources held ({counts})"
