"""Volumes of K3s' local-path class on real hosts: each on the disk of the host of its pod, and gone with its claim."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.hosts.lab import Lab
from lab.kubernetes import build
from tests.lab.k3s_site import Site, release_on_mirror, uninstalled_at_the_end, wait_for

FOLDER = "/var/lib/rancher/k3s/storage"


@pytest.fixture(scope="module")
def one(lab: Lab) -> Iterator[Site]:
    """A site of one server, a, and an agent, b."""
    with (
        release_on_mirror(lab) as (authority, mirror, release),
        uninstalled_at_the_end(Site(lab, authority, mirror, release, {"a": "server", "b": "agent"})) as site,
    ):
        site.script("a", site.cluster.cluster_init_permit)
        site.install("a")
        site.install("b")
        site.script("a", site.plan("b").wait_ready)
        site.script("a", site.cluster.ready)
        yield site


def claim_and_pod(name: str, host: str) -> str:
    """A claim without a class, and a restricted pod of the host that uses it."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }
    container = {
        "name": "probe",
        "image": build.PROBE_IMAGE,
        "imagePullPolicy": "Never",
        "args": ["serve"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": f"lab-{host}"},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
        },
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [claim, pod]})


def folders(site: Site, host: str) -> list[str]:
    """Mode, group and name of each volume on the host's disk."""
    return (
        site.host(host)
        .run(f"cd {FOLDER} 2>/dev/null && stat --format='%a %g %n' * | sort", check=False)
        .stdout.splitlines()
    )


def test_a_volume_is_on_the_disk_of_its_pods_host_and_goes_with_its_claim(one: Site) -> None:
    wait_for("the class is there", lambda: one.kubectl("get", "storageclass", "--output", "name") != "")
    for host in ("a", "b"):
        one.kubectl("apply", "--filename", "-", stdin=claim_and_pod(f"on-{host}", host))
    for host in ("a", "b"):
        one.kubectl("wait", "--for=condition=Ready", f"pod/on-{host}", "--timeout=120s")
        (found,) = folders(one, host)
        # Set-group-ID and the pod's group: what the kubelet gives a volume whose pod has an fsGroup.
        assert found.startswith("2777 65532 ")
        assert found.endswith(f"_default_on-{host}")
        assert one.host(host).run(f"stat --format=%a {FOLDER}").stdout == "700\n"
    one.kubectl("delete", "pod/on-a", "pod/on-b", "pvc/on-a", "pvc/on-b", "--timeout=60s")
    wait_for("the volumes are gone", lambda: one.kubectl("get", "persistentvolumes", "--output", "name") == "")
    assert [folders(one, host) for host in ("a", "b")] == [[], []]


def test_the_class_is_the_default_one_under_k3s_name(one: Site) -> None:
    found = one.get("storageclass", "local-path")
    assert found["provisioner"] == "rancher.io/local-path"
    assert found["volumeBindingMode"] == "WaitForFirstConsumer"


def test_a_full_disk_is_seen_by_its_kubelet(one: Site) -> None:
    pressure = 'jsonpath={.status.conditions[?(@.type=="DiskPressure")].status}'
    assert one.kubectl("get", "node", "lab-b", "--output", pressure) == "False"
    one.host("b").fill_disk()
    try:
        wait_for("the node says so", lambda: one.kubectl("get", "node", "lab-b", "--output", pressure) == "True")
    finally:
        one.host("b").free_disk()
