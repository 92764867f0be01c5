"""The sites of this repository keep every rule: what `edge check` says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.restricted import default_deny
from edge.run.check import check_file

SITES = sorted(Path(__file__).parents[2].joinpath("stacks", "sites").glob("[a-z]*.yaml"))


@pytest.mark.parametrize("file", SITES, ids=lambda file: file.stem)
def test_a_site_of_the_repository_breaks_no_rule(file: Path) -> None:
    check = check_file(file)
    assert check.resources > 20
    broken = [(finding.rule, finding.urn, finding.path) for finding in check.policies if finding.level != "advisory"]
    assert broken == []
    assert {finding.rule for finding in check.advisory} == set()


def test_edge_check_refuses_a_site_with_a_namespace_that_is_open_in_one_direction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ingress_only(namespace: str) -> dict[str, object]:
        return {**default_deny(namespace), "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}

    monkeypatch.setattr("components.telemetry.plan.default_deny", ingress_only)
    check = check_file(next(file for file in SITES if file.stem == "demo"))
    (finding,) = check.mandatory
    assert finding.rule == "network/namespace-default-deny"
    assert finding.urn.endswith("kubernetes:core/v1:Namespace::demo-telemetry-namespace")
    assert finding.message == "has no NetworkPolicy that denies egress by default"
    assert check.code == 1
