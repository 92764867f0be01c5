"""What edits do to a cluster that is registered with Azure Arc. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.consequence import Consequence, Edit, Effect
from components.host.applied import Applied
from components.registration.arc.spec import ArcSpec

PART = "arc"

REMOVED = Edit(
    "arc-removed",
    "The registration with Azure Arc is removed",
    Effect.DESTROYS,
    "**deletes the registration**, unless `protect: true` was applied before",
)
MOVED = Edit(
    "arc-moved",
    "Subscription, resource group or location of an Arc registration changes",
    Effect.DESTROYS,
    "**deletes the registration**, unless `protect: true` was applied before",
)
EDITS = (REMOVED, MOVED)


def consequences(before: Applied, spec: ArcSpec | None) -> Iterator[Consequence]:
    """What becomes of the registration."""
    held = before.of_component("ArcRegistration")
    cluster = next((one for one in held if one.name.endswith("-cluster")), None)
    if cluster is None:
        return
    way = "keep it as it is; or `--allow-destroy arc` (after `protect: false` was applied, where it is protected)"
    if spec is None:
        yield REMOVED.found(
            PART,
            "the cluster's resource in Azure is deleted, with its extensions, policies and role assignments.",
            way,
        )
        return
    azure = next((one for one in held if one.type == "pulumi:providers:azure-native"), None)
    facts = {**(azure.inputs if azure else {}), **cluster.inputs}
    for key, now in (
        ("subscriptionId", spec.subscription_id),
        ("resourceGroupName", spec.resource_group),
        ("location", spec.location),
    ):
        if facts.get(key) != now:
            yield MOVED.found(
                PART,
                f"{key} changes from {facts.get(key, 'an unknown value')} to {now}: Azure deletes the registration "
                "and makes "
                "another one, without its extensions, policies and role assignments.",
                way,
            )
            return
