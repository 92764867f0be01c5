"""Where boxes and lines of a drawing go: layers from top to bottom, each box below all that it waits for. Pure.

The usual way in few steps (Sugiyama's): layers, crossings, positions. All positions are whole numbers, and equal input
gives equal output, so that a drawing can be compared as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

GAP = 12
"""Between boxes beside each other."""
LAYER_GAP = 32
"""Between layers: room for lines."""
CHANNEL = 8
"""Width of what is left free for a line that passes a layer."""
_SWEEPS = 8

Point = tuple[int, int]
Edge = tuple[str, str]
"""The one above, and the one below that waits for it."""


@dataclass(frozen=True)
class Box:
    """Something to be placed."""

    id: str
    width: int
    height: int


@dataclass(frozen=True)
class Place:
    """Where a box is: its upper left corner, and its size."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Layout:
    """Where everything is."""

    places: Mapping[str, Place]
    lines: Mapping[Edge, tuple[Point, ...]]
    """By edge, the points that its line goes through, from top to bottom."""
    width: int
    height: int


def layout(boxes: Sequence[Box], edges: Sequence[Edge], *, most_width: int) -> Layout:
    """Place ``boxes``. A layer gets no wider than ``most_width``, but for single boxes that are, and for passing lines.

    The order of ``boxes`` decides wherever nothing else does. Raises ``graphlib.CycleError`` for edges in a circle.
    """
    size = {box.id: box for box in boxes}
    layers = _layers(boxes, edges, most_width)
    level = {box: number for number, layer in enumerate(layers) for box in layer}
    rows, links = _with_channels(layers, level, edges)
    rows = _uncrossed(rows, links)
    widths = [_width(row, size) for row in rows]
    total = max(widths, default=0)
    tops: list[int] = []
    bottoms: list[int] = []
    y = 0
    for layer in layers:
        tops.append(y)
        bottoms.append(y + max((size[box].height for box in layer), default=0))
        y = bottoms[-1] + LAYER_GAP
    centre: dict[str, int] = {}
    places: dict[str, Place] = {}
    for row, width, top in zip(rows, widths, tops, strict=True):
        x = (total - width) // 2
        for item in row:
            own = size[item].width if item in size else CHANNEL
            centre[item] = x + own // 2
            if item in size:
                places[item] = Place(x, top, own, size[item].height)
            x += own + GAP
    lines = {edge: tuple(_line(edge, level, centre, places, tops, bottoms)) for edge in dict.fromkeys(edges)}
    return Layout({box.id: places[box.id] for box in boxes}, lines, total, bottoms[-1] if bottoms else 0)


def _layers(boxes: Sequence[Box], edges: Sequence[Edge], most_width: int) -> list[list[str]]:
    """Each box in the first layer below all that it waits for that has room for it."""
    index = {box.id: number for number, box in enumerate(boxes)}
    above: dict[str, list[str]] = {box.id: [] for box in boxes}
    for upper, lower in edges:
        above[lower].append(upper)
    sorter = TopologicalSorter(above)
    sorter.prepare()
    level: dict[str, int] = {}
    layers: list[list[str]] = []
    used: list[int] = []
    while sorter.is_active():
        for name in sorted(sorter.get_ready(), key=index.__getitem__):
            width = boxes[index[name]].width
            at = 1 + max((level[upper] for upper in above[name]), default=-1)
            while at < len(layers) and used[at] + GAP + width > most_width:
                at += 1
            if at == len(layers):
                layers.append([])
                used.append(-GAP)
            layers[at].append(name)
            used[at] += GAP + width
            level[name] = at
            sorter.done(name)
    return layers


def _channel(upper: str, layer: int) -> str:
    """Lines from the same box share a channel. No id of a box contains NUL."""
    return f"\0{layer}\0{upper}"


def _with_channels(
    layers: Sequence[Sequence[str]], level: Mapping[str, int], edges: Sequence[Edge]
) -> tuple[list[list[str]], list[list[Edge]]]:
    """The layers with a channel for each line that passes; and by layer, what is linked to what in the next one."""
    rows = [list(layer) for layer in layers]
    links: list[dict[Edge, None]] = [{} for _ in layers]
    for upper, lower in edges:
        before = upper
        for layer in range(level[upper] + 1, level[lower]):
            channel = _channel(upper, layer)
            if channel not in rows[layer]:
                rows[layer].append(channel)
            links[layer - 1][before, channel] = None
            before = channel
        links[level[lower] - 1][before, lower] = None
    return rows, [list(found) for found in links]


def _uncrossed(rows: list[list[str]], links: Sequence[Sequence[Edge]]) -> list[list[str]]:
    """The layers in the best order found: each item near the middle of what it is linked to."""
    best, fewest = rows, _crossings(rows, links)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        rows = [list(row) for row in rows]
        numbers = range(1, len(rows)) if down else range(len(rows) - 2, -1, -1)
        for number in numbers:
            near = rows[number - 1] if down else rows[number + 1]
            linked = links[number - 1] if down else [(lower, upper) for upper, lower in links[number]]
            rows[number] = _by_middle(rows[number], near, linked)
        if (crossings := _crossings(rows, links)) < fewest:
            best, fewest = rows, crossings
    return best


def _by_middle(row: Sequence[str], near: Sequence[str], linked: Sequence[Edge]) -> list[str]:
    position = {item: number / max(1, len(near) - 1) for number, item in enumerate(near)}
    found: dict[str, list[float]] = {}
    for other, item in linked:
        found.setdefault(item, []).append(position[other])
    own = {item: number / max(1, len(row) - 1) for number, item in enumerate(row)}
    return sorted(row, key=lambda item: sum(found[item]) / len(found[item]) if item in found else own[item])


def _crossings(rows: Sequence[Sequence[str]], links: Sequence[Sequence[Edge]]) -> int:
    count = 0
    for number, linked in enumerate(links[: len(rows) - 1]):
        above = {item: at for at, item in enumerate(rows[number])}
        below = {item: at for at, item in enumerate(rows[number + 1])}
        ends = [(above[upper], below[lower]) for upper, lower in linked]
        count += sum((a - c) * (b - d) < 0 for at, (a, b) in enumerate(ends) for c, d in ends[:at])
    return count


def _width(row: Sequence[str], size: Mapping[str, Box]) -> int:
    return sum(size[item].width if item in size else CHANNEL for item in row) + GAP * max(0, len(row) - 1)


def _line(
    edge: Edge,
    level: Mapping[str, int],
    centre: Mapping[str, int],
    places: Mapping[str, Place],
    tops: Sequence[int],
    bottoms: Sequence[int],
) -> Iterator[Point]:
    """Down through its own layer, through the channels, to the top of the lower box."""
    upper, lower = edge
    x, first = centre[upper], places[upper]
    yield (x, first.y + first.height)
    # A higher box beside it must not be crossed.
    if first.y + first.height < bottoms[level[upper]]:
        yield (x, bottoms[level[upper]])
    for layer in range(level[upper] + 1, level[lower]):
        x = centre[_channel(upper, layer)]
        yield from ((x, tops[layer]), (x, bottoms[layer]))
    yield (centre[lower], places[lower].y)
