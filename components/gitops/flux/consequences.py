"""What edits do to workloads that Flux has applied. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from components.consequence import Consequence, Edit, Effect
from components.gitops.flux.plan import plan
from components.gitops.flux.spec import FluxSpec
from components.host.applied import Applied, Held
from components.view import Site

PART = "flux"

REMOVED = Edit(
    "flux-removed",
    "GitOps is removed, or another kind takes its place",
    Effect.DESTROYS,
    "**deletes the workloads**: Flux prunes what it has applied",
)
SOURCE_CHANGED = Edit(
    "flux-source-changed",
    "The repository or the path of the workloads changes",
    Effect.DESTROYS,
    "**deletes what the new source lacks**: Flux prunes it",
)
EDITS = (REMOVED, SOURCE_CHANGED)

_SOURCES = ("GitRepository", "OCIRepository")


def consequences(before: Applied, spec: FluxSpec | None, site: Site) -> Iterator[Consequence]:
    """What becomes of the workloads."""
    held = before.of_component("Flux")
    applied = next((one for one in held if one.type.endswith(":Kustomization")), None)
    if applied is None:
        return
    if spec is None:
        yield REMOVED.found(
            PART,
            "Flux deletes the workloads that it has applied, with their volume claims.",
            "set `prune: disabled` on what must stay (annotation `kustomize.toolkit.fluxcd.io/prune`); then "
            "`--allow-destroy "
            "flux`",
        )
        return
    planned = plan(spec, site=site.name, tier=site.tier, region=site.region, labels=site.labels)
    source = next((one for one in held if one.type.endswith(_SOURCES)), None)
    for what, was, now in (
        ("the repository", _spec(source, "url"), planned.source["spec"].get("url")),
        ("the path", _spec(applied, "path"), planned.kustomization["spec"].get("path")),
    ):
        if was != now:
            yield SOURCE_CHANGED.found(
                PART,
                f"{what} of the workloads changes from {was or 'an unknown one'} to {now}: what is not there is "
                "deleted, with its "
                "volume claims.",
                "check that the same objects are there; then `--allow-destroy flux`",
            )


def _spec(held: Held | None, key: str) -> Any:
    spec = held.inputs.get("spec") if held else None
    return spec.get(key) if isinstance(spec, dict) else None
