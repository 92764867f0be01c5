"""What is spent until each month, at the edge and in the cloud, as SVG within a page. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

_WIDTH, _HEIGHT = 350, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 58, 16, 34
_ROUND = (1, 2, 2.5, 5, 10)
_TICKS = 4


def cost_plot(spent: Sequence[tuple[float, float]], break_even_month: int | None) -> str:
    """``spent`` is by month, from month 0: (edge, cloud), in USD. The month of the break-even is marked."""
    months = len(spent) - 1
    step = _step(max(max(pair) for pair in spent) / _TICKS)
    top = step * max(1, math.ceil(max(max(pair) for pair in spent) / step))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(month: float) -> int:
        return round(_LEFT + (right - _LEFT) * month / max(1, months))

    def y(usd: float) -> int:
        return round(bottom - (bottom - _TOP) * usd / top)

    shown = []
    for number in range(round(top / step) + 1):
        usd = number * step
        shown.append(f'<path class="axis" d="M{_LEFT} {y(usd)}H{right}"/>')
        shown.append(f'<text x="{_LEFT - 6}" y="{y(usd) + 4}" text-anchor="end">{_short(usd)}</text>')
    every = 6 if months <= 48 else 12
    shown += (
        f'<text x="{x(month)}" y="{bottom + 15}" text-anchor="middle">{month}</text>'
        for month in range(0, months + 1, every)
    )
    shown.append(f'<text x="{(_LEFT + right) // 2}" y="{bottom + 29}" text-anchor="middle">months</text>')
    if break_even_month is not None and break_even_month <= months:
        at = x(break_even_month)
        shown.append(f'<path class="even" d="M{at} {_TOP}V{bottom}"/>')
        anchor = "start" if at < _WIDTH // 2 else "end"
        text_x = at + 4 if anchor == "start" else at - 4
        shown.append(f'<text x="{text_x}" y="{_TOP - 5}" text-anchor="{anchor}">paid back: {break_even_month}</text>')
    ends = [y(amount) for amount in spent[-1]]
    if abs(ends[0] - ends[1]) < 12:
        # The names at the ends of the lines must not cover each other.
        middle = sum(ends) // 2
        upper = 0 if ends[0] <= ends[1] else 1
        ends = [middle - 6 if index == upper else middle + 6 for index in (0, 1)]
    for index, name in enumerate(("edge", "cloud")):
        line = "L".join(f"{x(month)} {y(pair[index])}" for month, pair in enumerate(spent))
        shown.append(f'<path class="{name}-line" d="M{line}"/>')
        shown.append(f'<text class="{name}-name" x="{right + 6}" y="{ends[index] + 4}">{name}</text>')
    even = "never paid back" if break_even_month is None else f"paid back after month {break_even_month}"
    title = f"Spent after {months} months: edge {_short(spent[-1][0])} USD, cloud {_short(spent[-1][1])} USD; {even}"
    return "\n".join((f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><title>{title}</title>', *shown, "</svg>"))


def _step(least: float) -> float:
    """A round number that is at least ``least``, and above 0."""
    if least <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * one for one in _ROUND if power * one >= least * (1 - 1e-9))


def _short(usd: float) -> str:
    """An amount in a few characters: 1.2M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if usd >= unit:
            return f"{usd / unit:.0f}{name}" if usd >= 100 * unit else f"{usd / unit:.3g}{name}"
    return f"{usd:.0f}"
