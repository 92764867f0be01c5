"""How the parts of a site are wired, where a mistake would look like a sound site."""

from __future__ import annotations

import pytest
import yaml

from components.egress import ENVIRONMENT
from edge.run import program
from edge.run.program import Configuration
from engine.rehearsal.in_process import Recorded, Recording
from engine.rehearsal.values import reveal
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site
from stacks.parts import required
from stacks.site import SiteSpec
from tests.components.registration.registration_parts import arc


def recorded(spec: SiteSpec) -> Recording:
    config = {f"edge:{need.key}": f"placeholder-{need.key}" for need in required(spec)}
    return program.recorded(spec, Configuration(config, frozenset(config)))


def test_an_instance_on_an_outpost_boots_with_what_its_own_system_reads() -> None:
    site = load_site("outpost-seattle").model_dump()
    site["hosts"][0]["os"] = {"distribution": "debian"}
    spec = SiteSpec.model_validate(site)
    assert spec.os.distribution == "fedora-coreos", "which reads Ignition"
    (instance,) = (resource for resource in recorded(spec).resources if resource.type == "aws:ec2/instance:Instance")
    assert str(reveal(instance.inputs["userData"])).startswith("#cloud-config")


def test_a_site_may_have_hosts_and_nothing_on_them_yet() -> None:
    site = load_site("prod")
    kept = {name: getattr(site, name) for name in ("site", "tier", "region", "hosts", "os", "ssh", "labels")}
    found = recorded(SiteSpec.model_validate({**kept, "mesh": {"kind": "none"}}))
    assert not found.problems
    assert {"prod-a-base", "prod-b-base", "prod-c-base"} <= {resource.name for resource in found.resources}


def test_a_site_that_goes_takes_leave_of_the_first_server_last() -> None:
    # Each leaves through another one: two that leave at the same time through each other lose the cluster under way.
    dependencies = {resource.name: resource.dependencies for resource in recorded(load_site("prod")).resources}

    def all_before(name: str) -> set[str]:
        direct = {urn.rpartition("::")[2] for urn in dependencies[name]}
        return direct.union(*(all_before(one) for one in direct))

    for other in ("b", "c"):
        assert "prod-a-k3s-member" in all_before(f"prod-{other}-k3s-member")


def _in_kubernetes(resource: Recorded) -> bool:
    return resource.custom and resource.type.startswith("kubernetes:")


def _registered(site: str) -> Recording:
    """``site``, registered with Arc, and with something on its hosts that only its collectors need."""
    spec = load_site(site)
    telemetry = spec.telemetry and spec.telemetry.model_copy(update={"host_health": True})
    return recorded(spec.model_copy(update={"registrations": (arc(),), "telemetry": telemetry}))


@pytest.mark.parametrize("site", ["demo", "outpost-seattle", "shelf-lyon"])
def test_what_lives_in_a_k3s_cluster_is_not_taken_down_piece_by_piece_when_k3s_goes(site: str) -> None:
    resources = _registered(site).resources
    (cluster,) = (resource for resource in resources if resource.type == "edge:index:K3s")
    inside = [resource for resource in resources if _in_kubernetes(resource)]
    assert {resource.type.rpartition(":")[2] for resource in inside} >= {"Release"}
    assert {resource.name for resource in inside if resource.deleted_with != cluster.urn} == set()


def test_what_lives_in_an_eks_cluster_is_deleted_itself_for_it_may_own_volumes_and_load_balancers() -> None:
    resources = _registered("outpost-frankfurt").resources
    inside = [resource for resource in resources if _in_kubernetes(resource)]
    assert len(inside) > 3
    assert {resource.name for resource in resources if resource.deleted_with} == set()


@pytest.mark.parametrize("site", ["demo", "outpost-seattle", "shelf-lyon"])
def test_what_is_done_on_a_host_or_in_a_cloud_is_always_undone_itself(site: str) -> None:
    outside = [resource for resource in _registered(site).resources if resource.custom and not _in_kubernetes(resource)]
    assert {resource.type for resource in outside} >= {
        "command:remote:Command",
        "azure-native:kubernetes/v20240101:ConnectedCluster",
    }
    assert {resource.name for resource in outside if resource.deleted_with} == set()


def test_nvidias_packages_come_by_the_sites_way_out_and_before_k3s() -> None:
    file = PROJECT_ROOT / "tests/fixtures/sites/valid/nvidia-packages.yaml"
    content = yaml.safe_load(file.read_text())
    content["network"] = {"proxy": {"url": "http://proxy.example.com:3128"}}
    content["k3s"] = {"version": "v1.36.3+k3s1", "releases": {"v1.36.3+k3s1": {"amd64": "1" * 64}}}
    made = recorded(SiteSpec.model_validate(content)).resources
    roles = [
        name.removeprefix("nvidia-packages-a-") for one in made if (name := one.name).startswith("nvidia-packages-a-")
    ]
    order = ["reachable", "facts", "base", "network", "nvidia", "nvidia-facts"]
    assert roles[: len(order)] == order
    assert "k3s" in roles[len(order) :]
    (install,) = (one for one in made if one.name == "nvidia-packages-a-nvidia")
    assert ENVIRONMENT in str(reveal(install.inputs["create"]))
