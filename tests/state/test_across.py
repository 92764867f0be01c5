"""No live resource is replaced or deleted by a change of the program alone.

`fixtures/` holds the state of every site as the commit named in `fixtures/commit` made it, in a rehearsal. Each is
imported into a new stack, and this checkout's program is previewed on it by the real engine, without policies. Updates
in place and new resources are allowed. A site that is newer than the fixtures has no state to lose, and no test.
`renew.py` beside this file makes the fixtures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stacks.loader import site_names
from tests.state import effects
from tests.state.effects import previewed
from tests.state.renew import FIXTURES, fixture_commit, fixture_sites

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
    preview, held = previewed(site, tmp_path)
    assert held > 1, f"the state of {site} was not imported"
    # Unchanged resources have no step, but are counted.
    summary: dict[str, int] = preview["changeSummary"]
    counts = ", ".join(f"{number} {op}" for op, number in sorted(summary.items()))
    losses = lost(preview["steps"])
    assert not losses, f"{site} ({counts}) would lose live resources:\n" + "\n".join(losses)
    assert not summary.keys() - _HARMLESS, f"{site}: {counts}"
    # A program that built nothing would replace nothing.
    assert sum(summary.values()) >= held, f"{site}: the preview is of less than the {held} resources held ({counts})"
    told = effects.row(site, preview)
    assert told in effects.written().splitlines(), f"`make effects` writes it into CHANGELOG.md:\n{told}"


def test_the_changelog_tells_of_every_site_that_has_a_state_and_of_no_other() -> None:
    rows = [line for line in effects.written().splitlines() if line.startswith("| ") and not line.startswith("| site")]
    assert [row.split()[1] for row in rows] == fixture_sites()
    assert fixture_commit()[:10] in effects.written()
