"""Ten sites at the same time through the real engine, each in a process of its own."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from edge.run import pool
from edge.run.operation import Outcome, opened
from tests.edge.conftest import Project
from tests.edge.sites import site

pytestmark = pytest.mark.engine

_SITES = 10


def brought_up(file: Path, root: Path) -> Outcome:
    with opened(str(file), rehearse=True, root=root) as session:
        return session.up(lambda _step: None)


def test_ten_sites_side_by_side_come_up_without_a_failure(project: Project) -> None:
    files = [site(project.sites, f"shop-{number}") for number in range(_SITES)]
    found = list(pool.each(functools.partial(brought_up, root=project.root), files, _SITES))
    failed = [one for one in found if isinstance(one, pool.Lost) or one.code]
    assert not failed
    outcomes = [one for one in found if not isinstance(one, pool.Lost)]
    assert [one.site for one in outcomes] == [file.stem for file in files]
    assert len({one.run.counts["create"] for one in outcomes}) == 1, "equal sites have equal resources"
    assert all(one.run.outputs["site"] == one.site for one in outcomes), "no site sees another one's"
