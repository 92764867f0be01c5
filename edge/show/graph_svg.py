"""A site's graph as SVG: one file without scripts, fonts or anything else to fetch. Pure.

All text may come from a site file, so all of it is escaped. Narrow enough for a phone: two hosts side by side.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence

from edge.run.events import Op
from edge.run.site_graph import Edges, Graph, Node
from edge.show.graph_layout import GAP, Box, Layout, Place, Point, layout
from edge.show.graph_words import SIGNS, counted, headline, legend, wrapped
from sitefile.problems import printable

BOX_WIDTH = 168
MOST_WIDTH = 2 * BOX_WIDTH + GAP
_MARGIN = 8
_PAD = 9
_COLUMNS = 20
"""Characters in a line of a box: of 12.5 pixels' font size, each 7.5 pixels wide."""
_LINE = 15
_ROW = 22
_HEAD = 22
_TEXT_COLUMNS = 46

_STYLE = """\
.edge{--page:#fff;--box:#f6f8fa;--row:#fff;--line:#8c959f;--text:#1f2328;--dim:#59636e;
--create:#1a7f37;--update:#8a5a00;--replace:#8250df;--delete:#cf222e;--import:#0969da;
font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media (prefers-color-scheme:dark){.edge{--page:#0d1117;--box:#161b22;--row:#0d1117;--line:#6e7681;--text:#e6edf3;
--dim:#9198a1;--create:#3fb950;--update:#d29922;--replace:#bc8cff;--delete:#ff7b72;--import:#4493f8}}
svg:root{background:var(--page)}
.edge text{font-size:12.5px;fill:var(--text)}
.edge .name{font-size:13px;font-weight:600}
.edge .dim{fill:var(--dim)}
.edge .page{fill:var(--page)}
.edge .box{fill:var(--box);stroke:var(--line)}
.edge .row{fill:var(--row);stroke:var(--line)}
.edge .wait{fill:none;stroke:var(--line);stroke-width:1.5}
.edge .tip{fill:var(--line)}
"""
_COLOURS = "".join(
    f".edge text.{op}{{fill:var(--{op});font-weight:600}}\n.edge rect.{op}{{stroke:var(--{op});stroke-width:2}}\n"
    for op in ("create", "update", "replace", "delete", "import")
)


def svg(graph: Graph) -> str:
    """The whole file."""
    boxes = _boxes(graph)
    sizes = [Box(name, BOX_WIDTH, _height(graph, nodes)) for name, nodes in boxes.items()]
    edges = graph.box_edges
    placed = layout(sizes, [(upper, lower) for lower, upper in edges], most_width=MOST_WIDTH)
    top = [*wrapped(headline(graph), _TEXT_COLUMNS), *wrapped(graph.description, _TEXT_COLUMNS)]
    bottom = [line for text in legend(graph) for line in wrapped(text, _TEXT_COLUMNS)]
    drawing_top = _MARGIN + 30 + _LINE * len(top)
    width = max(placed.width, MOST_WIDTH) + 2 * _MARGIN
    left = (width - placed.width) // 2
    legend_top = drawing_top + placed.height + 28
    height = legend_top + _LINE * len(bottom) + 4
    name = f"{graph.site}: {headline(graph)}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="edge" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" style="max-width:100%;height:auto" role="img" aria-labelledby="edge-title edge-about">',
        f'<title id="edge-title">{_text(name)}</title>',
        f'<desc id="edge-about">{_text(_in_words(graph))}</desc>',
        f"<style>\n{_STYLE}{_COLOURS}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        _label(_MARGIN, _MARGIN + 12, graph.site, "name"),
        *_block(_MARGIN, _MARGIN + 28, top, "dim"),
        f'<g transform="translate({left},{drawing_top})">',
        *_lines(graph, placed, edges),
        *(part for name, nodes in boxes.items() for part in _drawn(graph, placed.places[name], nodes)),
        "</g>",
        *_block(_MARGIN, legend_top, bottom, "dim"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _boxes(graph: Graph) -> dict[str, list[Node]]:
    """By box, what is in it: a host first, then the parts on it. What is on no host is a box of its own."""
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        found.setdefault(node.box, []).append(node)
    # A part that the machine stands on comes before it; the machine's own name is the box's heading.
    return {name: sorted(nodes, key=lambda node: node.kind != "host") for name, nodes in found.items()}


def _facts(graph: Graph, node: Node) -> list[str]:
    facts = list(node.facts)
    if node.via:
        facts.append(f"via {node.via}")
    if node.kind == "part" and graph.is_split(node):
        facts.append("for the whole site")
    facts.append(counted(node))
    return [line for fact in facts for line in wrapped(fact, _COLUMNS)]


def _height(graph: Graph, nodes: Sequence[Node]) -> int:
    head, *rows = nodes
    return _HEAD + _LINE * len(_facts(graph, head)) + _PAD + _ROW * len(rows)


def _drawn(graph: Graph, place: Place, nodes: Sequence[Node]) -> Iterator[str]:
    head, *rows = nodes
    yield f'<g transform="translate({place.x},{place.y})">'
    yield f"<title>{_text(_about(graph, head))}</title>"
    yield f'<rect class="{_class("box", head.op)}" width="{place.width}" height="{place.height}" rx="6"/>'
    yield _label(_PAD, 17, _cut(graph.name(head.id) if head.kind == "host" else head.label, 18), "name")
    # The lines below say the word.
    yield from _sign(head.op, place.width - _PAD, 17, "")
    lines = _facts(graph, head)
    yield from _block(_PAD, _HEAD + 11, lines, "dim")
    y = _HEAD + _LINE * len(lines) + 5
    for row in rows:
        yield f'<g transform="translate({_PAD},{y})">'
        yield f"<title>{_text(_about(graph, row))}</title>"
        yield f'<rect class="{_class("row", row.op)}" width="{place.width - 2 * _PAD}" height="{_ROW - 4}" rx="3"/>'
        yield _label(6, 13, _cut(row.label, 9))
        yield from _sign(row.op, place.width - 2 * _PAD - 6, 13, f" {row.op}")
        yield "</g>"
        y += _ROW
    yield "</g>"


def _lines(graph: Graph, placed: Layout, edges: Edges) -> Iterator[str]:
    for lower, upper in edges:
        points = placed.lines[upper, lower]
        x, y = points[-1]
        yield "<g>"
        yield f"<title>{_text(_why(graph, lower, upper))}</title>"
        yield f'<path class="wait" d="{_path(points, 5)}"/>'
        yield f'<path class="tip" d="M{x - 4} {y - 7}h8l-4 7z"/>'
        yield "</g>"


def _path(points: Sequence[Point], tip: int) -> str:
    """A line that leaves and enters each point straight down."""
    x, y = points[0]
    steps = [f"M{x} {y}"]
    for number, (to_x, to_y) in enumerate(points[1:], 2):
        end = to_y - (tip if number == len(points) else 0)
        if to_x == x:
            steps.append(f"V{end}")
        else:
            middle = (y + end) // 2
            steps.append(f"C{x} {middle} {to_x} {middle} {to_x} {end}")
        x, y = to_x, end
    return "".join(steps)


def _why(graph: Graph, lower: str, upper: str) -> str:
    """Which part in one box waits for which part in the other."""
    box = {node.id: node.box for node in graph.nodes}
    found = [
        f"{graph.name(node)} waits for {graph.name(other)}"
        for node, other in graph.edges
        if box[node] == lower and box[other] == upper
    ]
    return "; ".join(found) or f"{graph.name(lower)} waits for {graph.name(upper)}"


def _about(graph: Graph, node: Node) -> str:
    return ", ".join((graph.name(node.id), *node.facts, counted(node)))


def _in_words(graph: Graph) -> str:
    """The picture for those who do not see it."""
    waits: Mapping[str, list[str]] = {node.id: [] for node in graph.nodes}
    for node, other in graph.edges:
        waits[node].append(graph.name(other))
    return " ".join(
        f"{_about(graph, node)}{', waits for ' + ', '.join(waits[node.id]) if waits[node.id] else ''}."
        for node in graph.nodes
    )


def _sign(op: Op | None, right: int, y: int, word: str) -> Iterator[str]:
    """A sign and a word for each colour: nothing depends on colours."""
    if op is not None and op in SIGNS:
        yield f'<text class="{op}" x="{right}" y="{y}" text-anchor="end">{SIGNS[op]}{word}</text>'


def _class(base: str, op: Op | None) -> str:
    return f"{base} {op}" if op in SIGNS else base


def _block(x: int, y: int, lines: Iterable[str], style: str) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield _label(x, y + number * _LINE, line, style)


def _label(x: int, y: int, text: str, style: str = "") -> str:
    css = f' class="{style}"' if style else ""
    return f'<text{css} x="{x}" y="{y}">{_text(text)}</text>'


def _text(text: str) -> str:
    """Text in XML: escaped, and without the characters that XML does not know."""
    return html.escape(printable(text))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
