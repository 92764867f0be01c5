"""Many sites at once: one that fails never stops the others, and nothing selected is never "all good"."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edge.conftest import Project, project  # noqa: F401
from tests.edge.sites import broken_site
from tests.edge.sites import site as site_file

COMMANDS = ("check", "render", "preview", "up", "outputs", "drift", "status")


def test_a_site_that_fails_never_stops_the_others(project: Project, tmp_path: Path) -> None:  # noqa: F811
    # The first and the last of all are broken.
    for name in ("aaa", "zzz"):
        broken_site(project.sites, name)
    for name in ("shop-1", "shop-2"):
        site_file(project.sites, name)
    for jobs in (1, 3):
        out = tmp_path / f"out-{jobs}"
        ran = project.edge("render", "--all", "--out", out, "--jobs", jobs)
        assert ran.code == 1
        assert {folder.name for folder in out.iterdir()} == {"demo", "shop-1", "shop-2"}
        failed = [line.split()[1] for line in ran.stdout.splitlines() if line.startswith("  failed  ")]
        assert failed == ["aaa:", "zzz:"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("selection", [("-l", "tier=far"), ("-l", "customer=nobody"), ("no-such-*",)], ids=" ".join)
def test_a_selection_of_no_site_is_bad_input_and_says_nothing_good(
    project: Project,  # noqa: F811
    command: str,
    selection: tuple[str, ...],
) -> None:
    options = ("--rehearse",) if command in ("preview", "up", "outputs") else ()
    for form in ((), ("--json",)):
        ran = project.edge(command, *selection, *options, *form)
        assert ran.code == 2
        assert "good" not in ran.stdout + ran.stderr
        assert "as planned" not in ran.stdout + ran.stderr
        said = ran.document["error"]["what"] if form else ran.stderr
        assert "no site" in said.lower()
