"""Waivers as the rules see them: whose, until when, and what they never cover."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import pytest

from policies.recorded import findings_of
from policies.rules import DEFAULT_SETTINGS, UNKNOWN, Finding, Resource, evaluate
from policies.rules.waivers import apply, unused, waivers_of
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


DIGEST = f"sha256:{'0123456789abcdef' * 4}"
OTHER = f"sha256:{'fedcba9876543210' * 4}"
PRIVILEGED = {"rule": "workload/no-privileged", "reason": "reads the GPU", "owner": "platform", "expires": "2999-12-31"}


def privileged(image: Any = f"nvcr.io/nvidia/k8s-device-plugin@{DIGEST}", **metadata: str) -> tuple[Finding, ...]:
    """The findings of one rule on a DaemonSet, of which one container is privileged."""
    props = {
        "metadata": {"namespace": "gpu", "name": "device-plugin", **metadata},
        "spec": {
            "template": {
                "spec": {
                    "hostPID": True,
                    "containers": [
                        {"name": "a", "image": image, "securityContext": {"privileged": True}},
                        {"name": "b", "image": f"docker.io/otel/x@{OTHER}"},
                    ],
                }
            }
        },
    }
    found = evaluate(
        Resource("kubernetes:apps/v1:DaemonSet", "berlin-01-gpu", "urn:pulumi:berlin-01::edge::x::y", props)
    )
    return tuple(one for one in found if one.rule in ("workload/no-privileged", "workload/no-host-namespaces"))


def waived(found: tuple[Finding, ...], *entries: Any) -> set[str]:
    """The rules whose findings are waived."""
    return {one.rule for one in apply(found, waivers_of(site(*entries)), LAST_DAY) if one.level == "waived"}


@pytest.mark.parametrize(
    ("bound", "covers"),
    [
        ({"resource": "berlin-01-gpu"}, True),
        ({"resource": "*-gpu"}, True),
        ({"resource": "berlin-01"}, False),
        ({"workload": "gpu/DaemonSet/device-plugin"}, True),
        ({"workload": "gpu/DaemonSet/device-*"}, True),
        ({"workload": "*/*/device-plugin"}, True),
        ({"workload": "gpu/Deployment/device-plugin"}, False),
        ({"workload": "*"}, False),
        ({"workload": "gpu/*"}, False),
        ({"image": DIGEST}, True),
        ({"image": OTHER}, False),
        ({"resource": "*-gpu", "workload": "gpu/*/*", "image": DIGEST}, True),
        ({"resource": "*-gpu", "workload": "gpu/*/*", "image": OTHER}, False),
        ({"workload": 1}, False),
        ({"image": ["sha256"]}, False),
    ],
)
def test_a_waiver_covers_the_resource_workload_and_image_that_it_names(bound: dict[str, Any], covers: bool) -> None:
    assert waived(privileged(), {**PRIVILEGED, **bound}) == ({"workload/no-privileged"} if covers else set())


def test_an_image_s_waiver_ends_with_the_image() -> None:
    """Another digest, a tag alone, and an image that is not known."""
    for image in (f"nvcr.io/nvidia/k8s-device-plugin@{OTHER}", "nvcr.io/nvidia/k8s-device-plugin:v1", UNKNOWN):
        assert waived(privileged(image), {**PRIVILEGED, "image": DIGEST}) == set()


def test_an_image_s_waiver_of_what_a_whole_pod_asks_for_counts_where_all_images_are_that_one() -> None:
    namespaces = {**PRIVILEGED, "rule": "workload/no-host-namespaces", "image": DIGEST}
    assert waived(privileged(), namespaces) == set()
    alone = privileged(f"x@{OTHER}")
    assert waived(alone, {**namespaces, "image": OTHER}) == {"workload/no-host-namespaces"}


def test_of_several_waivers_of_a_rule_each_covers_its_own() -> None:
    found = (*privileged(), *privileged(name="other"))
    entries = [
        {**PRIVILEGED, "workload": f"gpu/DaemonSet/{name}", "owner": name} for name in ("other", "device-plugin")
    ]
    owners = [one.waiver.split(" by ")[1] for one in apply(found, waivers_of(site(*entries)), LAST_DAY) if one.waiver]
    assert owners == ["device-plugin: reads the GPU", "other: reads the GPU"]


def test_what_covers_nothing_is_unused_and_what_has_expired_is_not() -> None:
    found = privileged()
    used, idle = waivers_of(site(PRIVILEGED, {**PRIVILEGED, "workload": "gpu/*/other"}))
    assert list(unused(apply(found, [used, idle], LAST_DAY), [used, idle])) == [idle]
    late = dataclasses.replace(used, expires=date(2020, 1, 1))
    assert list(unused(apply(found, [late], LAST_DAY), [late])) == []


def test_the_waivers_of_a_recorded_site_count_for_its_whole_stack() -> None:
    k3s = Recorded(dict(UNENCRYPTED), type="edge:index:K3s")
    waiving = Recorded({**base("site").props, "waivers": [ENTRY]}, type="edge:index:EdgeSite")
    for stack in ([waiving, k3s], [k3s, waiving]):
        assert [finding.level for finding in findings_of(stack, DEFAULT_SETTINGS, LAST_DAY)] == ["waived"]
    assert [finding.level for finding in findings_of([k3s], DEFAULT_SETTINGS, LAST_DAY)] == ["mandatory"]
