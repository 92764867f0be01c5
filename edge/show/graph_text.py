"""A site's graph as a tree in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from components.part import Phase
from edge.run.site_graph import Graph, Node
from edge.show.graph_words import SIGNS, counted, headline, legend, wrapped
from sitefile.problems import printable

_COLOURS = {"create": "green", "update": "yellow", "replace": "magenta", "delete": "red", "import": "cyan"}
_ASCII_SIGNS = {"±": "!"}
_IN_CLUSTER = "in the cluster"
_MOST_WIDTH = 100
"""Longer lines are hard to read, however wide the terminal is."""


@dataclass(frozen=True)
class _Branches:
    """The lines of a tree."""

    middle: str
    last: str
    below: str
    below_last: str


_UNICODE = _Branches("├─ ", "└─ ", "│  ", "   ")
_ASCII = _Branches("|- ", "`- ", "|  ", "   ")


@dataclass(frozen=True)
class _Item:
    """One entry of the tree: a node, or a heading."""

    node: Node | None
    below: Sequence[_Item] = ()


def tree(out: Console, graph: Graph) -> None:
    """The site, its hosts in the order of the file with the parts on them, and the parts beside and after them."""
    width = min(out.width, _MOST_WIDTH)
    ascii_only = out.options.ascii_only
    out.print(Text(printable(graph.site), "bold"))
    for line in (*wrapped(headline(graph), width), *wrapped(graph.description, width)):
        out.print(Text(line, "dim"))
    waits: dict[str, list[str]] = {node.id: [] for node in graph.nodes}
    for identity, other in graph.edges:
        waits[identity].append(graph.name(other, graph.node(identity).host))
    drawing = _Drawing(out, graph, waits, width, _ASCII if ascii_only else _UNICODE)
    drawing.items(_items(graph))
    if graph.mode != "written":
        for line in wrapped(legend(graph)[-1], width):
            out.print(Text(_plain_sign(line) if ascii_only else line, "bold"))


def _items(graph: Graph) -> list[_Item]:
    items: list[_Item] = []
    cluster: list[_Item] = []
    for node in graph.nodes:
        if node.kind == "host":
            parts = [_Item(one) for one in graph.nodes if one.host == node.label and one.kind == "part"]
            items.append(_Item(node, parts))
        elif node.phase is Phase.IN_CLUSTER:
            if not cluster:
                items.append(_Item(None, cluster))
            cluster.append(_Item(node))
        elif not node.host:
            items.append(_Item(node))
    return items


@dataclass(frozen=True)
class _Drawing:
    out: Console
    graph: Graph
    waits: dict[str, list[str]]
    width: int
    branches: _Branches

    def items(self, items: Sequence[_Item], before: str = "") -> None:
        for item in items:
            last = item is items[-1]
            below = before + (self.branches.below_last if last else self.branches.below)
            self._item(item, before + (self.branches.last if last else self.branches.middle), below)
            self.items(item.below, below)

    def _item(self, item: _Item, branch: str, below: str) -> None:
        sign, style = self._sign(item.node)
        # The sign stands in the first column, where it is easily found, also by other programs.
        margin = f"{sign} " if self.graph.mode != "written" else ""
        line = Text.assemble((margin, style), branch)
        if item.node is None:
            self.out.print(line.append(_IN_CLUSTER, "bold"))
            return
        name = printable(self.graph.name(item.node.id, item.node.host if item.node.kind == "part" else ""))
        line.append(name, f"bold {style}".strip())
        details = "; ".join(self._details(item.node))
        if line.cell_len + 2 + cell_len(details) <= self.width:
            self.out.print(line.append(f"  {details}"))
            return
        self.out.print(line)
        indent = " " * len(margin) + below + (self.branches.below if item.below else "   ")
        for text in wrapped(details, max(20, self.width - len(indent))):
            self.out.print(Text(f"{indent}{text}"))

    def _details(self, node: Node) -> list[str]:
        facts = [*node.facts, *([f"via {node.via}"] if node.via else [])]
        details = [", ".join(facts)] if facts else []
        details.append(counted(node))
        # That a host waits for its jump host is said already.
        waits = [other for other in self.waits[node.id] if not node.via or other != f"host {node.via}"]
        if waits:
            details.append(f"waits for {', '.join(waits)}")
        return details

    def _sign(self, node: Node | None) -> tuple[str, str]:
        op = node.op if node else None
        if op is None or op not in SIGNS:
            return " ", ""
        sign = SIGNS[op]
        return (_plain_sign(sign) if self.branches is _ASCII else sign), _COLOURS[op]


def _plain_sign(text: str) -> str:
    for sign, plain in _ASCII_SIGNS.items():
        text = text.replace(sign, plain)
    return text
