"""An `up` is judged by the policies itself, not only by the preview before it."""

from __future__ import annotations

import pytest

from edge.run.operation import opened
from tests.edge.conftest import Project, project  # noqa: F401
from tests.edge.sites import refused_site

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
