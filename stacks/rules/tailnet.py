"""Whether the fleet's policy file gives the tags of a site an owner: no key may carry a tag without. Advice. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.mesh.tailscale.plan import site_tags
from components.mesh.tailscale.spec import MadeKey, TailscaleSpec
from sitefile.problems import DataPath, Finding
from stacks.fleet.spec import FleetSpec
from stacks.parts import block_of
from stacks.site import SiteSpec


def findings(spec: SiteSpec, fleet: FleetSpec | None) -> Iterator[Finding]:
    """Nothing is said without a fleet file (somebody else keeps the tailnet), nor of a tailnet of the site's own."""
    mesh = block_of(spec, TailscaleSpec)
    if fleet is None or mesh is None or mesh.login_server:
        return
    at: DataPath
    if fleet.tailnet is None:
        at, where = ("mesh",), "the fleet file says nothing of a tailnet"
        remedy = "add `tailnet:` to the fleet file, and bring the stack `fleet` up before the site"
    elif isinstance(mesh.key, MadeKey) and not fleet.tailnet.is_named(mesh.key.tailnet):
        at, where = ("mesh", "key", "tailnet"), f"the fleet file writes the policy file of {fleet.tailnet.id}"
        remedy = f"write `tailnet: {fleet.tailnet.id}`; or see to their owners in the policy file of this tailnet"
    else:
        return
    yield Finding(
        at,
        f"nothing here gives {', '.join(site_tags(spec.site, mesh))} an owner: {where}",
        "an owner of each tag in the tailnet's policy file: it refuses a key with any other tag",
        remedy,
        advice=True,
    )
