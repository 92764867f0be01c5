"""A live cluster is not wiped by an edit: the install script asks the disk first, on a real host with the lab's k3s."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.k3s.plan import CA_UNKNOWN, plan_node
from components.k3s.spec import K3sSpec
from components.shell import secret_lines
from lab.hosts.lab import Lab
from lab.hosts.system import LabError
from tests.components.k3s.test_scripts import AGENT_TOKEN, TOKEN
from tests.lab.k3s_site import Site, release_on_mirror, uninstalled_at_the_end

_SUMS = {"amd64": "ab" * 32, "arm64": "cd" * 32}
_EXTERNAL = {"datastore": {"kind": "external", "engine": "postgresql"}}
_ENDPOINT = "postgres://edge:precious@db.example.com:5432/edge"


@pytest.fixture(scope="module")
def one(lab: Lab) -> Iterator[Site]:
    """A site of one server, with something in its cluster."""
    with (
        release_on_mirror(lab) as (authority, mirror, release),
        uninstalled_at_the_end(Site(lab, authority, mirror, release, {"a": "server"})) as site,
    ):
        site.script("a", site.cluster.cluster_init_permit)
        site.install("a")
        site.script("a", site.cluster.ready)
        site.kubectl("create", "configmap", "kept", "--from-literal=key=value")
        yield site


def edited(site: Site, **changes: Any) -> str:
    """The install script after an edit of the site file."""
    spec = K3sSpec.model_validate({**site.spec.model_dump(), **changes})
    return plan_node(spec, site.nodes["a"], site.servers, labels={"site": "lab"}).install


def untouched(site: Site) -> str:
    """What an edit that was refused leaves as it was: process, binary, configuration, data."""
    return (
        site.host("a")
        .run(
            "systemctl show --property MainPID k3s; sha256sum /usr/local/bin/k3s; "
            "find /etc/rancher/k3s -type f -exec sha256sum {} +; ls -i /var/lib/rancher/k3s/server/db/state.db"
        )
        .stdout
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pod_cidr": "10.77.0.0/16"}, "cluster-cidr is"),
        ({"service_cidr": "10.78.0.0/16"}, "service-cidr is"),
        (_EXTERNAL, "the datastore is sqlite here"),
        ({"version": "v1.33.9+k3s1", "releases": {"v1.33.9+k3s1": _SUMS}}, "a downgrade to v1.33.9"),
        ({"version": "v1.31.9+k3s1", "releases": {"v1.31.9+k3s1": _SUMS}}, "a downgrade to v1.31.9"),
        ({"version": "v1.36.1+k3s1", "releases": {"v1.36.1+k3s1": _SUMS}}, "skips a minor version"),
    ],
)
def test_an_edit_that_would_lose_the_cluster_is_refused(one: Site, changes: dict[str, Any], says: str) -> None:
    before = untouched(one)
    secrets = [TOKEN, AGENT_TOKEN, *([_ENDPOINT] if "datastore" in changes else []), CA_UNKNOWN]
    with pytest.raises(LabError, match=says) as refused:
        one.script("a", edited(one, **changes), stdin=secret_lines(secrets))
    assert "Nothing was changed" in str(refused.value)
    assert "precious" not in str(refused.value)
    assert untouched(one) == before
    assert one.kubectl("get", "configmap", "kept", "--output", "jsonpath={.data.key}") == "value"


def test_the_uninstall_of_another_name_leaves_the_cluster_alone(one: Site) -> None:
    before = untouched(one)
    script = one.plan("a").uninstall.replace("lab-a", "lab-z")
    assert "this host is lab-a, not lab-z" in one.script("a", script)
    assert untouched(one) == before
