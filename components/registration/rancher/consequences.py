"""What edits do to a cluster that is registered in Rancher. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.consequence import Consequence, Edit, Effect
from components.host.applied import Applied
from components.registration.rancher.spec import RancherSpec

PART = "rancher"

_PROTECTED = "**deletes the registration**, unless `protect: true` was applied before"

REMOVED = Edit("rancher-removed", "The registration with Rancher is removed", Effect.DESTROYS, _PROTECTED)
MOVED = Edit("rancher-moved", "The address of Rancher changes", Effect.DESTROYS, _PROTECTED)
EDITS = (REMOVED, MOVED)


def consequences(before: Applied, spec: RancherSpec | None) -> Iterator[Consequence]:
    """What becomes of the registration."""
    held = before.of_component("RancherRegistration")
    if not any(one.name.endswith("-cluster") for one in held):
        return
    way = "keep it as it is; or `--allow-destroy rancher` (after `protect: false` was applied, where it is protected)"
    if spec is None:
        yield REMOVED.found(PART, "the cluster is deleted in Rancher, with its projects, members and history.", way)
        return
    api = next((one for one in held if one.type == "pulumi:providers:rancher2"), None)
    was = api.inputs.get("apiUrl") if api else None
    if was != spec.api_url:
        yield MOVED.found(
            PART,
            f"the cluster moves from {was or 'an unknown Rancher'} to {spec.api_url}, where its projects, members and "
            "history are "
            "not.",
            way,
        )
