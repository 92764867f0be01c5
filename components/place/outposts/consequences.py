"""What edits do to what stands on an Outpost. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from components.consequence import Consequence, Edit, Effect
from components.host.applied import Applied
from components.place.outposts.spec import InstanceCompute, OutpostsSpec

PART = "outposts"
COMPONENT = "OutpostsRegistration"

SUBNET = Edit(
    "outposts-subnet-changed",
    "The subnet on the Outpost becomes another one: made or existing, or with another network",
    Effect.DESTROYS,
    "**deletes the instance or the cluster on the subnet**, and makes another one",
)
HOST_KEY = Edit(
    "outposts-host-key-from",
    "`host_key_from` of an instance that was made otherwise",
    Effect.IMPOSSIBLE,
    "stops at the host: it does not have the key that it is asked for",
)
FAMILY = Edit(
    "outposts-ami-family",
    "Nodes of an EKS local cluster join another way (`ami_family`)",
    Effect.INTERRUPTS,
    "changes the launch template; nodes that run stay as they are",
)
EDITS = (SUBNET, HOST_KEY, FAMILY)


def consequences(before: Applied, spec: OutpostsSpec) -> Iterator[Consequence]:
    """What becomes of subnet, instance and nodes."""
    held = before.of_component(COMPONENT)
    types = {one.type.rpartition(":")[2]: one for one in held}
    if not held:
        return
    subnet = types.get("Subnet")
    made = types.get("Instance") or types.get("Cluster")
    applied = subnet.inputs.get("cidrBlock") if subnet else None
    if made is not None and applied != (None if spec.subnet_id else spec.subnet_cidr):
        yield SUBNET.found(
            PART,
            f"what stands on the subnet ({applied or 'an existing one'}) is deleted with it, and made anew on "
            f"{spec.subnet_id or spec.subnet_cidr}.",
            "keep the subnet; or save the data first, then `--allow-destroy outposts`",
        )
    instance = types.get("Instance")
    if isinstance(spec.compute, InstanceCompute) and instance is not None:
        was = "first-contact" if any(one.name.endswith("-first-host-key") for one in held) else "user-data"
        if was != spec.compute.host_key_from:
            yield HOST_KEY.found(
                PART,
                f"the instance got its host key by `{was}`, and its user data stays as it was made.",
                f"write `host_key_from: {was}`; a site that is destroyed and brought up again can take the other way",
                host=spec.compute.host,
            )
    template = types.get("LaunchTemplate")
    if not isinstance(spec.compute, InstanceCompute) and template is not None:
        text = _decoded(template.inputs.get("userData"))
        if text and ("NodeConfig" in text) is not (spec.compute.nodes.ami_family == "al2023"):
            yield FAMILY.found(
                PART,
                f"nodes that start from now on join as images of Amazon Linux {spec.compute.nodes.ami_family[2:]} do; "
                "with another image they never join.",
                "give `ami` an image of that family in the same edit, or say which one it is with `ami_family`",
            )


def _decoded(text: object) -> str:
    """User data of a launch template; empty where the state does not tell."""
    try:
        return base64.b64decode(str(text), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
