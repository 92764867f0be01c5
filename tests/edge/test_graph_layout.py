"""Where boxes and lines go, for any boxes and any edges that are in no circle."""

from __future__ import annotations

from graphlib import CycleError
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.show.graph_layout import CHANNEL, GAP, LAYER_GAP, Box, Edge, Layout, Place, layout

MOST = 368


@st.composite
def drawings(draw: st.DrawFn) -> tuple[list[Box], list[Edge]]:
    count = draw(st.integers(1, 14))
    boxes = [Box(f"b{number}", draw(st.integers(20, 176)), draw(st.integers(10, 150))) for number in range(count)]
    pairs = list(combinations(range(count), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30)) if pairs else []
    order = draw(st.permutations(range(count)))
    return boxes, [(f"b{order[upper]}", f"b{order[lower]}") for upper, lower in chosen]


def overlap(one: Place, other: Place) -> bool:
    beside = one.x + one.width <= other.x or other.x + other.width <= one.x
    above = one.y + one.height <= other.y or other.y + other.height <= one.y
    return not (beside or above)


def inside(found: Layout, box: Place) -> bool:
    return box.x >= 0 and box.y >= 0 and box.x + box.width <= found.width and box.y + box.height <= found.height


@settings(max_examples=200)
@given(drawings())
def test_no_box_covers_another_one_or_leaves_the_drawing(drawing: tuple[list[Box], list[Edge]]) -> None:
    found = layout(*drawing, most_width=MOST)
    assert [(box.id, box.width, box.height) for box in drawing[0]] == [
        (name, place.width, place.height) for name, place in found.places.items()
    ]
    assert all(inside(found, place) for place in found.places.values())
    assert not any(overlap(one, other) for one, other in combinations(found.places.values(), 2))


@settings(max_examples=200)
@given(drawings())
def test_lines_go_down_from_box_to_box_and_through_none(drawing: tuple[list[Box], list[Edge]]) -> None:
    found = layout(*drawing, most_width=MOST)
    assert set(found.lines) == set(drawing[1])
    for (upper, lower), points in found.lines.items():
        first, last = found.places[upper], found.places[lower]
        assert points[0] == (first.x + first.width // 2, first.y + first.height)
        assert points[-1] == (last.x + last.width // 2, last.y)
        for (x, y), (to_x, to_y) in pairwise(points):
            assert y < to_y or (x, y) == (to_x, to_y)
            for name, place in found.places.items():
                between = place.y < to_y and y < place.y + place.height
                beside = max(x, to_x) <= place.x or min(x, to_x) >= place.x + place.width
                assert not between or beside, (name, upper, lower)


@settings(max_examples=100)
@given(drawings())
def test_equal_input_gives_equal_positions(drawing: tuple[list[Box], list[Edge]]) -> None:
    boxes, edges = drawing
    assert layout(boxes, edges, most_width=MOST) == layout(list(boxes), list(edges), most_width=MOST)


def test_boxes_beside_each_other_go_into_further_layers_when_there_is_no_room() -> None:
    boxes = [Box(name, 100, 10) for name in "abcde"]
    found = layout(boxes, [], most_width=2 * 100 + GAP)
    assert [found.places[name].y for name in "abcde"] == [0, 0, 10 + LAYER_GAP, 10 + LAYER_GAP, 20 + 2 * LAYER_GAP]
    assert found.width == 2 * 100 + GAP


def test_what_waits_is_below_everything_that_it_waits_for() -> None:
    found = layout([Box(name, 50, 10) for name in "cab"], [("a", "b"), ("b", "c"), ("a", "c")], most_width=MOST)
    assert found.places["a"].y < found.places["b"].y < found.places["c"].y
    assert found.width == 50 + GAP + CHANNEL, "the line from a to c passes b"


def test_lines_do_not_cross_where_they_need_not() -> None:
    boxes = [Box(name, 50, 10) for name in ("a", "b", "x", "y")]
    found = layout(boxes, [("a", "y"), ("b", "x")], most_width=MOST)
    left, right = (found.places[name].x < found.places[other].x for name, other in (("a", "b"), ("y", "x")))
    assert left == right


def test_a_circle_is_refused() -> None:
    with pytest.raises(CycleError):
        layout([Box("a", 1, 1), Box("b", 1, 1)], [("a", "b"), ("b", "a")], most_width=MOST)


def test_nothing_is_a_drawing_too() -> None:
    assert layout([], [], most_width=MOST) == Layout({}, {}, 0, 0)
