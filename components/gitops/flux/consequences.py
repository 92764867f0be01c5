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
LOCKED_DOWN = Edit(
    "flux-locked-down",
    "The lock-down of what the source may do begins, or has fewer exceptions",
    Effect.INTERRUPTS,
    "Flux no longer updates what names no `serviceAccountName`, or refers to other namespaces; it goes on running",
)
EDITS = (REMOVED, SOURCE_CHANGED, LOCKED_DOWN)

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
    instance = next((one for one in held if one.type.endswith(":FluxInstance")), None)
    if spec.tenancy.locked and instance is not None and not _locked(instance):
        yield LOCKED_DOWN.found(
            PART,
            "Kustomizations and HelmReleases of the source that name no `serviceAccountName` get the rights of their "
            "namespace's `default` account, and sources of other namespaces and remote bases are refused: what runs "
            "goes on running, and is no longer updated.",
            "give them a `serviceAccountName` first, or write the exceptions below `gitops.tenancy`",
        )


def _locked(instance: Held) -> bool:
    cluster = (instance.inputs.get("spec") or {}).get("cluster")
    return isinstance(cluster, dict) and cluster.get("multitenant") is True


def _spec(held: Held | None, key: str) -> Any:
    spec = held.inputs.get("spec") if held else None
    return spec.get(key) if isinstance(spec, dict) else None
