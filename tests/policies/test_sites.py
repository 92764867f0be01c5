"""The sites of this repository keep every rule: what `edge check` says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.run.check import check_file

SITES = sorted(Path(__file__).parents[2].joinpath("stacks", "sites").glob("[a-z]*.yaml"))


@pytest.mark.parametrize("file", SITES, ids=lambda file: file.stem)
def test_a_site_of_the_repository_breaks_no_rule(file: Path) -> None:
    check = check_file(file)
    assert check.resources > 20
    assert [(finding.rule, finding.urn, finding.path) for finding in check.policies] == []
