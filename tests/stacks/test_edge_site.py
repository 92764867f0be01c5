"""How the parts of a site are wired, where a mistake would look like a sound site."""

from __future__ import annotations

from engine.rehearsal.in_process import Recording, record
from engine.rehearsal.values import reveal
from engine.rehearsal.world import World
from stacks.loader import load_site
from stacks.program import program
from stacks.secrets import required
from stacks.site import SiteSpec


def recorded(spec: SiteSpec) -> Recording:
    config = {f"edge:{need.key}": f"placeholder-{need.key}" for need in required(spec)}
    return record(
        program(spec),
        project="edge",
        stack=spec.site,
        config=config,
        secret_keys=config.keys(),
        world=World.of(spec.model_dump(mode="json")),
    )


def test_an_instance_on_an_outpost_boots_with_what_its_own_system_reads() -> None:
    site = load_site("outpost-seattle").model_dump()
    site["hosts"][0]["os"] = {"distribution": "debian"}
    spec = SiteSpec.model_validate(site)
    assert spec.os.distribution == "fedora-coreos", "which reads Ignition"
    (instance,) = (resource for resource in recorded(spec).resources if resource.type == "aws:ec2/instance:Instance")
    assert str(reveal(instance.inputs["userData"])).startswith("#cloud-config")


def test_a_site_that_goes_takes_leave_of_the_first_server_last() -> None:
    # Each leaves through another one: two that leave at the same time through each other lose the cluster under way.
    dependencies = {resource.name: resource.dependencies for resource in recorded(load_site("prod")).resources}

    def all_before(name: str) -> set[str]:
        direct = {urn.rpartition("::")[2] for urn in dependencies[name]}
        return direct.union(*(all_before(one) for one in direct))

    for other in ("b", "c"):
        assert "prod-a-k3s-member" in all_before(f"prod-{other}-k3s-member")
