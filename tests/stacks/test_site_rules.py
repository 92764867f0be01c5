"""Rules between the parts of one site that no site file of the fixtures shows."""

from __future__ import annotations

from typing import Any

from sitefile.problems import Finding
from stacks.rules import site as site_rules
from stacks.site import SiteSpec
from tests.components.registration.registration_parts import arc
from tests.components.site_parts import VERSION, host


def findings(*registrations: dict[str, Any]) -> list[Finding]:
    spec = SiteSpec.model_validate(
        {
            "site": "shop",
            "tier": "near",
            "region": "eu-central",
            "hosts": [host("a", "10.10.0.11").model_dump()],
            "k3s": {"version": VERSION, "releases": {VERSION: {"amd64": "1" * 64}}},
            "registrations": registrations,
        }
    )
    return [finding for finding in site_rules.findings(spec) if not finding.advice]


def test_a_site_is_registered_once_with_each_kind() -> None:
    once = arc().model_dump()
    again = arc(resource_group="another").model_dump()
    assert findings(once) == []
    (finding,) = findings(once, again)
    assert finding.path == ("registrations", 1, "kind")
    assert finding.what == "the site is registered with `arc` twice: registrations[0] is the other one"


def test_a_third_registration_of_a_kind_is_said_where_it_stands() -> None:
    assert [finding.path for finding in findings(*[arc().model_dump()] * 3)] == [
        ("registrations", 1, "kind"),
        ("registrations", 2, "kind"),
    ]
