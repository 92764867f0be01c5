"""An `up` is judged by the policies itself, not only by the preview before it."""

from __future__ import annotations

import pytest

from edge.run.operation import opened
from tests.edge.conftest import Project, project  # noqa: F401
from tests.edge.sites import refused_site
from tests.edge.sites import site as site_file

pytestmark = pytest.mark.engine


def test_an_up_refuses_what_the_policies_refuse_whatever_was_previewed(project: Project) -> None:  # noqa: F811
    site = "demo"
    with opened(site, rehearse=True, root=project.root) as session:
        assert session.preview(lambda step: None).code == 0
    # Sound when it was previewed, and refused by a mandatory policy when it goes up.
    refused_site(project.sites, site)
    with opened(site, rehearse=True, root=project.root) as session:
        outcome = session.up(lambda step: None)
    assert outcome.code == 1
    assert [finding.rule for finding in outcome.run.violations] == ["supply-chain/registry-allowlist"]


def test_traffic_without_encryption_needs_a_waiver_which_is_shown_and_ends(project: Project) -> None:  # noqa: F811
    waiver = {"rule": "network/mtls-strict", "reason": "no WireGuard", "owner": "platform"}
    for waivers, code, level in (
        ([], 1, "mandatory"),
        ([{**waiver, "expires": "2999-12-31"}], 0, "waived"),
        ([{**waiver, "expires": "2020-12-31"}], 1, "mandatory"),
    ):
        site_file(project.sites, "demo", {"k3s": {"flannel_backend": "host-gw"}, "waivers": waivers})
        with opened("demo", rehearse=True, root=project.root) as session:
            outcome = session.preview(lambda step: None)
        found = [finding for finding in outcome.run.policies if finding.rule == "network/mtls-strict"]
        assert (outcome.code, [finding.level for finding in found]) == (code, [level]), waivers
        if level == "waived":
            assert "Waived until 2999-12-31 by platform: no WireGuard" in found[0].message
