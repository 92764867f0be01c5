"""Advice on a fleet that has outgrown looking after each cluster by hand; never a fault of a site."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.run.check import Report, SiteCheck, check_file
from edge.show.check import report
from edge.show.render import console
from engine.environment import PROJECT_ROOT
from stacks.rules.fleet_size import MOST_UNMANAGED, advice

SITES = PROJECT_ROOT / "stacks" / "sites"


def fleet(unmanaged: int, managed: int = 0) -> Report:
    return Report(
        [
            SiteCheck(f"site-{number}", Path(f"site-{number}.yaml"), has_unmanaged_cluster=number < unmanaged)
            for number in range(unmanaged + managed)
        ]
    )


def test_fifty_clusters_need_no_manager_and_fifty_one_do() -> None:
    assert MOST_UNMANAGED == 50
    assert fleet(50, managed=100).advice == ()
    (said,) = fleet(51).advice
    assert said.startswith("51 clusters are registered with no fleet manager")
    assert "`kind: arc` or `kind: rancher`" in said


def test_it_is_told_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    told = fleet(51)
    assert told.code == 0
    assert told.as_dict()["advice"] == [advice(51)]
    report(console(), told)
    assert "51 clusters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("site", "unmanaged"),
    [("mill-tampere", False), ("pop-saopaulo", False), ("store-madrid", True), ("outpost-frankfurt", True)],
    ids=["Rancher", "Arc", "neither", "neither, on EKS"],
)
def test_a_site_is_managed_by_its_registration(site: str, unmanaged: bool) -> None:
    assert check_file(SITES / f"{site}.yaml").has_unmanaged_cluster is unmanaged
