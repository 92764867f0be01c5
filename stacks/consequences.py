"""What a change of a site means: (site as it was applied, site as it is written) -> consequences. Pure.

Walks the hosts and the parts, nothing else: a part says in its own folder what an edit does to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from components.consequence import Consequence, Edit, worst_first
from components.host import consequences as hosts
from components.host.applied import Applied, Held, paired
from components.part import UNKNOWN_REMOVAL
from stacks import parts
from stacks.catalogue import Catalogue
from stacks.site import SiteSpec


def cleans() -> tuple[str, ...]:
    """Roles of all commands that clean up a host."""
    return (*hosts.CLEANS, *(role for part in parts.PARTS for role in part.cleans))


def consequences(before: Applied, spec: SiteSpec, catalogue: Catalogue) -> tuple[Consequence, ...]:
    """What becomes of what was applied once the site is as ``spec`` has it; the worst first, nothing for a new site."""
    return worst_first(list(_all(before, spec, catalogue)))


def in_any(befores: Iterable[Applied], spec: SiteSpec, catalogue: Catalogue) -> tuple[Consequence, ...]:
    """The consequences where it is not known which of several states holds: those of each."""
    return worst_first([one for before in befores for one in consequences(before, spec, catalogue)])


def _all(before: Applied, spec: SiteSpec, catalogue: Catalogue) -> Iterator[Consequence]:
    site = parts.view(spec, catalogue)
    pairs = paired(before, site.machines)
    yield from hosts.consequences(before, pairs, site.name, cleans())
    asked = {entry.part: entry.spec for entry in parts.entries(spec)}
    for part in parts.PARTS:
        yield from part.consequences(before, pairs, asked.get(part), site)


def of_destroy(before: Applied) -> tuple[Consequence, ...]:
    """What it means that everything is destroyed."""
    if not before.held:
        return ()
    nodes = list(before.hosts)
    what = f"{', '.join(nodes)} {'are' if len(nodes) > 1 else 'is'} wiped" if nodes else "its resources are deleted"
    sites = ", ".join(before.sites) or "the site"
    return (
        hosts.SITE_REMOVED.found(
            hosts.PART,
            f"{sites} is destroyed: {what}; the cluster, its data and its registrations are gone.",
            "save the data first; `edge destroy` asks for the site's name",
        ),
    )


def edits() -> tuple[Edit, ...]:
    """All kinds of edit, for the reference."""
    found = [*hosts.EDITS]
    for part in parts.PARTS:
        found += [*part.edits, *([part.removal.edit] if part.removal else [])]
    return (*found, UNKNOWN_REMOVAL)


def held_in(deployment: Iterable[Mapping[str, Any]]) -> Iterator[Held]:
    """The resources of a deployment as `pulumi stack export` has them, without those that wait for their deletion."""
    for one in deployment:
        if not one.get("delete"):
            yield held(one)


def answers(deployment: Mapping[str, Any]) -> tuple[Applied, ...]:
    """What a deployment says was applied.

    There are two answers where a killed run leaves open whether what it had begun was done.
    """
    resources = deployment.get("resources") or []
    begun = [one["resource"] for one in deployment.get("pending_operations") or ()]
    done = Applied.of(held_in(resources))
    if not begun:
        return (done,)
    return done, Applied.of(held_in({one["urn"]: one for one in (*resources, *begun)}.values()))


def held(state: Mapping[str, Any]) -> Held:
    """One resource, as the engine writes its state."""
    inputs, outputs = state.get("inputs"), state.get("outputs")
    return Held(
        urn=str(state["urn"]),
        inputs=inputs if isinstance(inputs, dict) else {},
        outputs=outputs if isinstance(outputs, dict) else {},
        parent=str(state.get("parent") or ""),
    )
