"""A picture for the lab's model and what it has to answer: by the model's description, not by its code."""

from __future__ import annotations

import math
from array import array

SIDE, CLASSES = 640, 80
_COLOUR = (0.5, -1.0, 2.0)
_LEFT, _TOP, _WIDTH = 320, 64, 16


def picture() -> bytes:
    """Float32 [1, 3, 640, 640]: zero, but for one square of 16 pixels, its top left corner at (320, 64)."""
    tensor = array("f", bytes(4 * 3 * SIDE * SIDE))
    for channel, value in enumerate(_COLOUR):
        for row in range(_TOP, _TOP + _WIDTH):
            start = channel * SIDE * SIDE + row * SIDE + _LEFT
            tensor[start : start + _WIDTH] = array("f", [value] * _WIDTH)
    return tensor.tobytes()


def check(answer: bytes) -> None:
    """Fails unless ``answer`` is float32 [1, 84, 8400] with the right values at each place."""
    found = array("f", answer)
    places = [
        (stride, column * stride, row * stride)
        for stride in (8, 16, 32)
        for row in range(SIDE // stride)
        for column in range(SIDE // stride)
    ]
    assert len(found) == (4 + CLASSES) * len(places)
    rows = [found[start : start + len(places)] for start in range(0, len(found), len(places))]
    boxes = [(left + stride / 2, top + stride / 2, stride, stride) for stride, left, top in places]
    assert list(zip(*rows[:4], strict=True)) == boxes
    shares = [_share_of_square(*place) for place in places]
    # Four places of 8 pixels and one of 16 are all of it, and of one of 32 it is a quarter.
    assert sorted(share for share in shares if share) == [0.25, 1, 1, 1, 1, 1]
    for label, scores in enumerate(rows[4:]):
        weighed = sum(value * math.cos(channel * label) for channel, value in enumerate(_COLOUR, start=1))
        expected = {share: 1 / (1 + math.exp(-weighed * share)) for share in set(shares)}
        worst = max(abs(score - expected[share]) for score, share in zip(scores, shares, strict=True))
        assert worst < 1e-5, f"score {label} is off by {worst}"


def _share_of_square(stride: int, left: int, top: int) -> float:
    """How much of a place the square of ``picture`` covers, from 0 to 1."""
    across = max(0, min(left + stride, _LEFT + _WIDTH) - max(left, _LEFT))
    down = max(0, min(top + stride, _TOP + _WIDTH) - max(top, _TOP))
    return across * down / stride**2
