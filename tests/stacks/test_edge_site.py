"""How the parts of a site are wired, where a mistake would look like a sound site."""

from __future__ import annotations

from engine.rehearsal.in_process import record
from engine.rehearsal.values import reveal
from engine.rehearsal.world import World
from fleet.program import program
from stacks.loader import load_site
from stacks.secrets import required
from stacks.site import SiteSpec


def test_an_instance_on_an_outpost_boots_with_what_its_own_system_reads() -> None:
    site = load_site("outpost-seattle").model_dump()
    site["hosts"][0]["os"] = {"distribution": "debian"}
    spec = SiteSpec.model_validate(site)
    assert spec.os.distribution == "fedora-coreos", "which reads Ignition"
    config = {f"edge:{need.key}": f"placeholder-{need.key}" for need in required(spec)}
    recording = record(
        program(spec),
        project="edge",
        stack=spec.site,
        config=config,
        secret_keys=config.keys(),
        world=World.of(spec.model_dump(mode="json")),
    )
    (instance,) = (resource for resource in recording.resources if resource.type == "aws:ec2/instance:Instance")
    assert str(reveal(instance.inputs["userData"])).startswith("#cloud-config")
