"""What both drawings of a site's graph say in words and signs. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from rich.cells import chop_cells

from edge.run.events import Op
from edge.run.site_graph import Graph, Node
from edge.show import render
from sitefile.problems import printable

_CHANGING: tuple[Op, ...] = ("create", "update", "replace", "delete", "import")
SIGNS: Mapping[Op, str] = {op: render.SIGNS[op][0] for op in _CHANGING}
"""What changes. A sign and a word beside each colour: nothing is told by colour alone."""
_MODES = {
    "written": "as written",
    "rehearsal": "rehearsed preview",
    "real": "preview",
}


def used(operations: Mapping[Op, int]) -> list[Op]:
    """The operations that change something, in the order of ``SIGNS``."""
    return [op for op in SIGNS if operations.get(op)]


def headline(graph: Graph) -> str:
    """What is drawn."""
    return f"{graph.tier}, {graph.region}, {_MODES[graph.mode]}"


def counted(node: Node) -> str:
    """How many resources there are, and of a preview what happens to them."""
    if not node.operations:
        return f"{node.resources} resource{'' if node.resources == 1 else 's'}"
    changing = used(node.operations)
    parts = [f"{node.operations[op]} to {op}" for op in changing]
    same = sum(node.operations.values()) - sum(node.operations[op] for op in changing)
    return ", ".join([*parts, *([f"{same} unchanged"] if same or not parts else [])])


def legend(graph: Graph) -> list[str]:
    """What signs and lines mean."""
    lines = ["An arrow goes to what waits."]
    if graph.mode != "written":
        operations = graph.operations
        changing = [f"{SIGNS[op]} {operations[op]} to {op}" for op in used(operations)]
        same = sum(number for op, number in operations.items() if op not in SIGNS)
        lines.append(", ".join([*changing, f"{same} unchanged"]))
    return lines


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` columns, broken between words where that is possible. Nothing acts on a terminal."""
    lines = textwrap.wrap(printable(text), width, break_on_hyphens=False)
    # Characters of some languages are two columns wide, and have no spaces between them.
    return [part for line in lines for part in chop_cells(line, width)]
