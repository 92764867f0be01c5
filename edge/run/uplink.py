"""What a change makes a site fetch over its uplink, in bytes: what it runs after the change and did not run before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.k3s.spec import K3sSpec
from edge.run.bill import Item, archs_of, items_of
from edge.run.program import recorded_site
from edge.run.sizes import Sizes, size_of
from edge.run.state_file import StateFile
from policies.recorded import resource_of
from policies.rules import Resource
from stacks.catalogue import catalogue
from stacks.parts import block_of, software
from stacks.site import SiteSpec


@dataclass(frozen=True)
class Fetched:
    """What one site fetches for a change. Images of K3s itself and what Flux applies are not in it."""

    known_bytes: int
    """Of all whose size is known, once for each host that fetches it."""
    known: tuple[str, ...]
    unknown: tuple[str, ...]
    """What has no recorded size."""
    down_mbps: float | None = None
    """The uplink's usual throughput, in Mbit/s; None where the site file does not say."""

    @property
    def seconds(self) -> float | None:
        """Time at the uplink's usual throughput, for what is known."""
        return self.known_bytes * 8 / (self.down_mbps * 1e6) if self.down_mbps else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "known_bytes": self.known_bytes,
            "seconds": round(self.seconds) if self.seconds is not None else None,
            "known": list(self.known),
            "unknown": list(self.unknown),
        }


@dataclass(frozen=True)
class Before:
    """A site as it was."""

    spec: SiteSpec
    root: Path
    """The project that its file is in."""
    state: StateFile | None
    """What its own program has made of it."""


def fetched(site: str, root: Path, before: Before | None, sizes: Sizes) -> Fetched:
    """What ``site`` (an id or a path) fetches when it comes from ``before`` to what it is in ``root``.

    Raises ``FileError``, and what its program raises.
    """
    spec, recording = recorded_site(site, root)
    after = items_of(spec, [resource_of(one) for one in recording.resources], root)
    had = _Had(before, root) if before else None
    new = [item for item in after if item.kind != "chart" and not (had and item in had)]
    archs = archs_of(spec, root)
    k3s = block_of(spec, K3sSpec)
    shared = k3s is not None and k3s.embedded_registry
    of = [(item, size_of(item, archs, sizes)) for item in new]
    return Fetched(
        known_bytes=sum(size * _times(item, len(spec.hosts), shared) for item, size in of if size is not None),
        known=tuple(_named(item) for item, size in of if size is not None),
        unknown=tuple(_named(item) for item, size in of if size is None),
        down_mbps=spec.uplink.down_mbps if spec.uplink else None,
    )


class _Had:
    """What a site has fetched already. The state knows best, since another release's program may have made it."""

    def __init__(self, before: Before, root: Path) -> None:
        file = before.state.file if before.state else None
        self._text = file.read_text(encoding="utf-8") if file and file.is_file() else ""
        stack = json.loads(self._text)["checkpoint"]["latest"].get("resources") if self._text else None
        resources = [_resource(one) for one in stack or ()]
        # What is in charts is not in the text, and what has no digest is only known by the site's file.
        found = items_of(before.spec, resources, root)
        self._in_charts = {item.digest for item in found if item.kind == "image"}
        self._software = {(one.name, one.version) for one in software(before.spec, catalogue(before.root))}

    def __contains__(self, item: Item) -> bool:
        if item.digest:
            return item.digest in self._text or item.digest in self._in_charts
        if item.kind == "image":
            return f"{item.name}:{item.version}" in self._text
        return (item.name, item.version) in self._software and item.version in self._text


def _resource(stored: Mapping[str, Any]) -> Resource:
    urn = stored["urn"]
    return Resource(type=stored["type"], name=urn.rpartition("::")[2], urn=urn, props=stored.get("inputs") or {})


def _times(item: Item, hosts: int, shared: bool) -> int:
    """On how many hosts it is fetched: objects that run the same image may share a host, or not."""
    if item.kind == "application":
        return max(1, len(item.where))
    if shared:
        return 1
    return hosts if item.everywhere else min(hosts, len(item.where)) or 1


def _named(item: Item) -> str:
    return f"{item.name} {item.version}".strip()
