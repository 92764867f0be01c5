"""Advice on workloads: whom it is for, and whom it leaves in peace."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from policies.rules import Resource, evaluate
from tests.policies.cases import base, drop, put

DIGEST = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
SPEC = "spec.template.spec"


def advice(remove: tuple[str, ...] = (), /, **changes: Any) -> dict[str, str]:
    """Rules that advise on the compliant Deployment after ``changes`` of its pod, by the path that they name."""
    props: dict[str, Any] = copy.deepcopy(dict(base("deployment").props))
    for path, value in changes.items():
        put(props, f"{SPEC}.{path}", value)
    for path in remove:
        drop(props, f"{SPEC}.{path}")
    found = evaluate(Resource("kubernetes:apps/v1:Deployment", "x", "urn:x", props))
    return {finding.path.removeprefix(f"{SPEC}."): finding.rule for finding in found if finding.level == "advisory"}


def test_a_low_user_of_the_pod_is_said_once_and_one_of_a_container_where_it_is() -> None:
    assert advice(**{"securityContext.runAsUser": 500}) == {"securityContext.runAsUser": "workload/high-user"}
    place = "containers[0].securityContext.runAsUser"
    assert (
        advice(**{"securityContext.runAsUser": 500, place: 20000, "initContainers": [], "ephemeralContainers": []})
        == {}
    )
    assert advice(**{place: 500}) == {place: "workload/high-user"}


def test_a_user_that_the_image_decides_is_said_of_each_container() -> None:
    found = advice(("securityContext.runAsUser",))
    assert set(found) == {
        f"{kind}[0].securityContext.runAsUser" for kind in ("initContainers", "containers", "ephemeralContainers")
    }


def test_in_a_user_namespace_the_number_means_nothing_on_the_host() -> None:
    assert advice(**{"securityContext.runAsUser": 500, "hostUsers": False}) == {}


LIMIT = "containers[0].resources.limits.ephemeral-storage"
MOUNT = {"containers[0].volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}]}


@pytest.mark.parametrize(
    ("volume", "advised"),
    [
        ({"emptyDir": {}}, True),
        ({"emptyDir": {"medium": ""}}, True),
        ({"emptyDir": {"sizeLimit": "1Gi"}}, False),
        ({"emptyDir": {"medium": "Memory"}}, False),
        ({"persistentVolumeClaim": {"claimName": "x"}}, False),
    ],
)
def test_a_volume_on_the_disk_of_a_host_needs_a_limit(volume: dict[str, Any], advised: bool) -> None:
    volumes = [{"name": "scratch", **volume}]
    assert advice(volumes=volumes, **MOUNT) == ({LIMIT: "workload/ephemeral-storage"} if advised else {})
    assert advice(volumes=volumes, **MOUNT, **{LIMIT: "1Gi"}) == {}
    # Not mounted, it stays empty.
    assert advice(volumes=volumes) == {}
