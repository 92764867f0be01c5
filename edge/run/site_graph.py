"""A site as nodes and edges: its hosts, its parts, what waits for what, and what a preview would do to each. Pure.

Taken from the resources that the program registers, so that the picture shows the order in which `up` works. How it is
drawn is ``show``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Literal

from components.base import TYPE_PREFIX
from components.part import Part, Phase
from edge.run.events import STACK_TYPE, Op, Run
from engine.rehearsal.in_process import Recorded
from stacks import parts
from stacks.catalogue import Catalogue
from stacks.site import SiteSpec

Kind = Literal["host", "part", "resource"]
Mode = Literal["written", "rehearsal", "real"]

_SITE_TYPE = f"{TYPE_PREFIX}EdgeSite"
_HOST_TYPE = f"{TYPE_PREFIX}Host"
_OUTSIDE = "outside"
_IGNORED: frozenset[Op] = frozenset({"same", "read", "refresh"})
_HIDDEN = (STACK_TYPE, _SITE_TYPE)
_PROVIDER = "pulumi:providers:"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the site's stack."""

    urn: str
    type: str
    name: str
    parent: str
    waits_for: tuple[str, ...] = ()
    """URNs of resources that must be there first."""
    op: Op | None = None
    """What a preview would do to it; None without a preview."""


@dataclass(frozen=True)
class Node:
    """A host, what a part does on one host, what a part does for the site, or another resource."""

    id: str
    kind: Kind
    label: str
    """Its name within the site: of a host, or of a part's folder."""
    host: str = ""
    """The host that it is, or that it is on."""
    phase: Phase | None = None
    """Of a part: when it comes up."""
    facts: tuple[str, ...] = ()
    """Of a host: role, hardware, accelerators, address."""
    via: str = ""
    """Of a host: its jump host."""
    resources: int = 0
    operations: Mapping[Op, int] = field(default_factory=dict)
    """Number of resources by what a preview would do to them; empty without a preview."""

    @property
    def box(self) -> str:
        """The id of the host that it is on, or its own."""
        return _host_id(self.host) if self.host else self.id

    @property
    def op(self) -> Op | None:
        """What a preview would do to it as a whole; None without a preview."""
        return strongest(self.operations)

    def as_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {"id": self.id, "kind": self.kind, "label": self.label}
        if self.host:
            document["host"] = self.host
        if self.phase is not None:
            document["phase"] = self.phase.name.lower().replace("_", "-")
        if self.kind == "host":
            document |= {"facts": list(self.facts), "via": self.via or None}
        document["resources"] = self.resources
        if self.operations:
            document |= {"op": self.op, "operations": dict(self.operations)}
        return document


Edges = tuple[tuple[str, str], ...]
"""Pairs of node ids: the first one waits for the second one."""


@dataclass(frozen=True)
class Graph:
    """A site. Nodes are in the order in which they come up, hosts in the order of the file."""

    site: str
    tier: str
    region: str
    description: str
    nodes: tuple[Node, ...]
    edges: Edges
    """What waits for what, without what follows from other edges. Free of circles: of nodes that wait for each other
    with different resources, the one that is done last waits."""
    box_edges: Edges
    """The same between hosts as a whole and what is on no host."""
    mode: Mode = "written"

    def node(self, identity: str) -> Node:
        return next(node for node in self.nodes if node.id == identity)

    def is_split(self, node: Node) -> bool:
        """Whether a part acts on hosts one by one too, so that ``node`` is what it does for the site beside that."""
        return any(other.label == node.label and other.host for other in self.nodes if other.kind == "part")

    def name(self, identity: str, seen_from: str = "") -> str:
        """A node in words. ``seen_from`` is the host of the one that waits for it."""
        node = self.node(identity)
        if node.kind == "host":
            return f"host {node.label}"
        if node.host:
            return node.label if node.host == seen_from else f"{node.label} on {node.host}"
        return f"{node.label} of the site" if self.is_split(node) else node.label

    @property
    def operations(self) -> dict[Op, int]:
        """Number of resources by what a preview would do."""
        found: dict[Op, int] = {}
        for node in self.nodes:
            for op, number in node.operations.items():
                found[op] = found.get(op, 0) + number
        return found

    def as_dict(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {
            "site": self.site,
            "tier": self.tier,
            "region": self.region,
            "mode": self.mode,
            "nodes": [node.as_dict() for node in self.nodes],
            "edges": [{"node": node, "waits_for": other} for node, other in self.edges],
        }


def resources_of(recorded: Iterable[Recorded], run: Run | None = None) -> list[Resource]:
    """The resources of a recording, with what ``run`` would do; then those that only the stack's state has.

    The engine does not tell the dependencies of the latter.
    """
    known = run.resources if run is not None else {}
    found = [
        Resource(
            one.urn,
            one.type,
            one.name,
            one.parent,
            # A provider's reference is its URN and its id.
            tuple(dict.fromkeys((*one.dependencies, *([one.provider.rpartition("::")[0]] if one.provider else [])))),
            known[one.urn].op if one.urn in known else None,
        )
        for one in recorded
    ]
    own = {one.urn for one in found}
    only_in_run = (change for change in (run.changes if run is not None else ()) if change.urn not in own)
    found += [Resource(one.urn, one.type, one.name, one.parent, op=one.op) for one in only_in_run]
    return found


def graph_of(spec: SiteSpec, catalogue: Catalogue, resources: Sequence[Resource], mode: Mode = "written") -> Graph:
    """The site with ``resources`` as nodes and edges."""
    sorting = _Sorting(spec, catalogue, resources)
    members: dict[str, list[Resource]] = {}
    nodes: dict[str, Node] = {}
    for resource in resources:
        if (node := sorting.node_of(resource)) is not None:
            nodes.setdefault(node.id, node)
            members.setdefault(node.id, []).append(resource)
    ordered = sorted(nodes.values(), key=sorting.position)
    complete = tuple(_counted(node, members[node.id]) for node in ordered)
    node_of = {one.urn: node for node, found in members.items() for one in found}
    box_of = {urn: nodes[node].box for urn, node in node_of.items()}
    boxes = list(dict.fromkeys(node.box for node in ordered))
    return Graph(
        site=spec.site,
        tier=spec.tier,
        region=spec.region,
        description=spec.description or "",
        nodes=complete,
        edges=_waits(resources, node_of.get, [node.id for node in ordered]),
        box_edges=_waits(resources, box_of.get, boxes),
        mode=mode,
    )


def strongest(operations: Mapping[Op, int]) -> Op | None:
    """One word for what happens to several resources: what happens to all of them, or else that they change."""
    if not operations:
        return None
    changing = {op for op, number in operations.items() if number and op not in _IGNORED}
    if not changing:
        return "same"
    if "replace" in changing:
        return "replace"
    if len(changing) == 1 and not operations.get("same"):
        return next(iter(changing))
    return "update"


def reduced(edges: Edges) -> Edges:
    """Without those that follow from others: if c waits for b and b for a, it need not be drawn that c waits for a."""
    after: dict[str, list[str]] = {}
    for node, other in edges:
        after.setdefault(node, []).append(other)
    reached = {node: set(_reached(after, node)) for node in after}
    return tuple(
        (node, other)
        for node, other in edges
        if not any(other in reached.get(between, ()) for between in after[node] if between != other)
    )


class _Sorting:
    """Which node a resource belongs to, and in which order nodes stand."""

    def __init__(self, spec: SiteSpec, catalogue: Catalogue, resources: Sequence[Resource]) -> None:
        self._site = spec.site
        self._by_urn = {resource.urn: resource for resource in resources}
        self._machines = {machine.name: machine for machine in parts.view(spec, catalogue).machines}
        self._parts: dict[str, Part[Any]] = {part.component: part for part in parts.PARTS}
        self._order = [part.component for part in parts.PARTS]
        names = {machine.node: machine.name for machine in self._machines.values()}
        for machine in self._machines.values():
            names.update(dict.fromkeys(machine.former, machine.name))
        for resource in resources:
            # A host that the site file no longer has.
            if resource.type == _HOST_TYPE:
                names.setdefault(resource.name, resource.name.removeprefix(f"{self._site}-"))
        # The longest first: `a-b` is no resource of the host `a`.
        self._hosts = dict(sorted(names.items(), key=lambda item: (-len(item[0]), item[0])))
        self._index = {name: index for index, name in enumerate(dict.fromkeys((*self._machines, *names.values())))}

    def node_of(self, resource: Resource) -> Node | None:
        """The node of a resource; None for the stack, the site, and providers that the engine adds by itself."""
        top = self._below_site(resource)
        if resource.type in _HIDDEN or (top is None and resource.type.startswith(_PROVIDER)):
            return None
        if top is None:
            return Node(_OUTSIDE, "resource", "outside the site's components")
        if top.type == _HOST_TYPE:
            return self._host(self._hosts[top.name])
        if not top.type.startswith(TYPE_PREFIX):
            label = top.name.removeprefix(f"{self._site}-")
            return Node(f"resource:{label}", "resource", label)
        kind = top.type.removeprefix(TYPE_PREFIX)
        part = self._parts.get(kind)
        label, phase = (part.name, part.phase) if part else (kind.lower(), None)
        host = self._host_named(resource.name) if phase is not None and phase < Phase.IN_CLUSTER else None
        if host is None:
            return Node(f"part:{label}", "part", label, phase=phase)
        return Node(f"{_host_id(host)}/{label}", "part", label, host=host, phase=phase)

    def position(self, node: Node) -> tuple[int, int, int, str]:
        """What the machines stand on, the machines with what is on them, the cluster, what runs in it, the rest."""
        order = next((at for at, kind in enumerate(self._order) if self._parts[kind].name == node.label), 0)
        if node.host:
            # What a machine stands on comes before the machine.
            row = 0 if node.kind == "host" else order + (1 if node.phase != Phase.PLACE else -len(self._order))
            return (2, self._index[node.host], row, node.id)
        if node.id == _OUTSIDE:
            return (9, 0, 0, node.id)
        if node.phase is None:
            return (0 if node.kind == "resource" else 8, 0, 0, node.id)
        return (1 if node.phase < Phase.CLUSTER else 1 + node.phase, order, 0, node.id)

    def _below_site(self, resource: Resource) -> Resource | None:
        """What contains a resource directly below the site; None for what is not in the site."""
        seen: set[str] = set()
        while resource.urn not in seen:
            seen.add(resource.urn)
            around = self._by_urn.get(resource.parent)
            if around is None:
                return None
            if around.type == _SITE_TYPE:
                return resource
            resource = around
        return None

    def _host_named(self, name: str) -> str | None:
        """The host that a resource is named after."""
        return next((host for node, host in self._hosts.items() if name == node or name.startswith(f"{node}-")), None)

    def _host(self, name: str) -> Node:
        machine = self._machines.get(name)
        facts: tuple[str, ...] = ("not in the site file",)
        if machine is not None:
            facts = (machine.spec.role, machine.spec.hardware, *machine.spec.accelerators, machine.spec.address)
        via = (machine.spec.via or "") if machine else ""
        return Node(_host_id(name), "host", name, host=name, facts=facts, via=via)


def _host_id(name: str) -> str:
    return f"host:{name}"


def _counted(node: Node, resources: Sequence[Resource]) -> Node:
    operations: dict[Op, int] = {}
    for resource in resources:
        if resource.op is not None:
            operations[resource.op] = operations.get(resource.op, 0) + 1
    return Node(node.id, node.kind, node.label, node.host, node.phase, node.facts, node.via, len(resources), operations)


def _waits(resources: Sequence[Resource], group_of: Callable[[str], str | None], order: Sequence[str]) -> Edges:
    """What waits for what between groups of resources, without circles, in the order of the groups."""
    before = _before(resources)
    position = {group: at for at, group in enumerate(order)}
    last: dict[str, int] = {}
    waits: dict[str, set[str]] = {}
    for urn, (step, others) in before.items():
        if (group := group_of(urn)) is not None:
            last[group] = max(last.get(group, 0), step)
            # By way of others too: what a group waits for must not be lost where an edge in a circle is.
            waits.setdefault(group, set()).update(filter(None, map(group_of, others)))
    for group, others in waits.items():
        others.discard(group)
    reached = {group: set(_reached(waits, group)) for group in waits}

    def kept(group: str, other: str) -> bool:
        circle = group in reached[other]
        return not circle or (last[other], position[other]) < (last[group], position[group])

    found = [(group, other) for group, others in waits.items() for other in others if kept(group, other)]
    return reduced(tuple(sorted(found, key=lambda edge: (position[edge[0]], position[edge[1]]))))


def _before(resources: Sequence[Resource]) -> dict[str, tuple[int, set[str]]]:
    """By URN, all that a resource waits for in the end, and how many come one after the other until it is there."""
    known = {resource.urn for resource in resources}
    direct = {one.urn: [other for other in one.waits_for if other in known] for one in resources}
    before: dict[str, tuple[int, set[str]]] = {}
    for urn in TopologicalSorter(direct).static_order():
        step = 1 + max((before[other][0] for other in direct[urn]), default=0)
        before[urn] = (step, set(direct[urn]).union(*(before[other][1] for other in direct[urn])))
    return before


def _reached(after: Mapping[str, Iterable[str]], start: str) -> Iterator[str]:
    """What can be reached from ``start`` by one step or more."""
    seen: set[str] = set()
    waiting = list(after.get(start, ()))
    while waiting:
        if (node := waiting.pop()) not in seen:
            seen.add(node)
            yield node
            waiting += after.get(node, ())
