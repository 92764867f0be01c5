"""Graphs of sites for tests: of the example sites, or of a few resources."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from edge.run.events import Op
from edge.run.program import recorded_site
from edge.run.site_graph import Graph, Resource, graph_of, resources_of
from engine.rehearsal.in_process import Recording
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.loader import load_site
from stacks.site import SiteSpec

STACK = "pulumi:pulumi:Stack::stack"
SITE = "edge:index:EdgeSite::demo"


@functools.cache
def recorded(name: str) -> tuple[SiteSpec, Recording]:
    spec, recording = recorded_site(name, PROJECT_ROOT)
    return spec, recording


@functools.cache
def graph(name: str) -> Graph:
    """An example site as written."""
    spec, recording = recorded(name)
    return graph_of(spec, catalogue(), resources_of(recording.resources))


def previewed(name: str, ops: Mapping[str, Op], *more: Resource) -> Graph:
    """An example site with what happens to resources by name; the others stay the same."""
    spec, recording = recorded(name)
    resources = [
        Resource(one.urn, one.type, one.name, one.parent, one.waits_for, ops.get(one.name, "same"))
        for one in resources_of(recording.resources)
    ]
    return graph_of(spec, catalogue(), [*resources, *more], "rehearsal")


def resource(kind: str, name: str, parent: str = SITE, *waits_for: str, op: Op | None = None) -> Resource:
    """A resource, by its own short kind of URN: ``TYPE::NAME``."""
    return Resource(f"{kind}::{name}", kind, name, parent, waits_for, op)


def small(*resources: Resource) -> Graph:
    """The demo site, made of no more than these resources."""
    around = (resource("pulumi:pulumi:Stack", "stack", ""), resource("edge:index:EdgeSite", "demo", STACK))
    return graph_of(load_site("demo"), catalogue(), (*around, *resources))
