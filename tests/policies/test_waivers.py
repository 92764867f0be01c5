"""Waivers as the rules see them: whose, until when, and what they never cover."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import pytest

from policies.recorded import findings_of
from policies.rules import DEFAULT_SETTINGS, Finding, Resource, evaluate
from policies.rules.waivers import apply, waivers_of
from tests.policies.cases import base
from tests.policies.test_recorded import Recorded

LAST_DAY = date(2026, 11, 30)
ENTRY = {"rule": "network/mtls-strict", "reason": "no WireGuard", "owner": "platform", "expires": LAST_DAY.isoformat()}
UNENCRYPTED = {**base("k3s").props, "flannel_backend": "vxlan"}


def site(*entries: Any, kind: str = "edge:index:EdgeSite") -> Resource:
    return Resource(kind, "x", "urn:site", {"waivers": list(entries)})


def found() -> tuple[Finding, ...]:
    return evaluate(dataclasses.replace(base("k3s"), props=UNENCRYPTED))


def test_a_waiver_covers_the_findings_of_its_rule_through_its_last_day() -> None:
    (waived,) = apply(found(), waivers_of(site(ENTRY)), LAST_DAY)
    assert (waived.level, waived.waiver) == ("waived", "until 2026-11-30 by platform: no WireGuard")
    (counted,) = apply(found(), waivers_of(site(ENTRY)), date(2026, 12, 1))
    assert (counted.level, counted.waiver) == ("mandatory", "")
    assert counted.message.endswith("(the waiver by platform expired on 2026-11-30)")


def test_a_waiver_of_another_rule_covers_nothing() -> None:
    other = {**ENTRY, "rule": "network/mesh-key"}
    assert apply(found(), waivers_of(site(other)), LAST_DAY) == found()


@pytest.mark.parametrize(
    "entry",
    [
        *({key: value for key, value in ENTRY.items() if key != left_out} for left_out in ENTRY),
        *({**ENTRY, key: " "} for key in ENTRY),
        {**ENTRY, "expires": "next year"},
        "network/mtls-strict",
        None,
    ],
)
def test_a_waiver_that_cannot_be_read_covers_nothing(entry: Any) -> None:
    assert waivers_of(site(entry)) == ()


def test_only_a_site_can_waive() -> None:
    assert waivers_of(site(ENTRY, kind="edge:index:K3s")) == ()
    assert waivers_of(Resource("edge:index:EdgeSite", "x", "urn:site", {"waivers": "all"})) == ()


def test_a_rule_that_failed_is_never_waived() -> None:
    (failed,) = (dataclasses.replace(one, fault=True) for one in found())
    assert apply([failed], waivers_of(site(ENTRY)), LAST_DAY) == (failed,)


def test_the_waivers_of_a_recorded_site_count_for_its_whole_stack() -> None:
    k3s = Recorded(dict(UNENCRYPTED), type="edge:index:K3s")
    waiving = Recorded({"waivers": [ENTRY]}, type="edge:index:EdgeSite")
    for stack in ([waiving, k3s], [k3s, waiving]):
        assert [finding.level for finding in findings_of(stack, DEFAULT_SETTINGS, LAST_DAY)] == ["waived"]
    assert [finding.level for finding in findings_of([k3s], DEFAULT_SETTINGS, LAST_DAY)] == ["mandatory"]
