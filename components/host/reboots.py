"""When a host may reboot into updates: a part of its weekly window for each of the servers that share it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.host.spec import UpdateWindow

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = 24 * 60
_WEEK = len(DAYS) * _DAY

NEEDED = 20
"""Minutes that a server should have of a window: to begin, and to be back before the next one begins."""

_TO_BE_BACK = 10
"""Minutes at the end of a server's part in which it no longer begins, since the next one's begins then."""


@dataclass(frozen=True)
class RebootWindow:
    """Minutes of each week in which a reboot may begin, in the host's local time."""

    begin: int
    """Minutes from the beginning of Monday."""

    minutes: int
    """Length."""

    @property
    def day(self) -> str:
        """Weekday, such as `Sun`."""
        return DAYS[self.begin // _DAY]

    @property
    def time(self) -> str:
        """Time of day, such as `02:00`."""
        hours, minutes = divmod(self.begin % _DAY, 60)
        return f"{hours:02}:{minutes:02}"

    def overlaps(self, other: RebootWindow) -> bool:
        """Whether both have a minute in common."""
        ahead = (other.begin - self.begin) % _WEEK
        return ahead < self.minutes or _WEEK - ahead < other.minutes


def whole(updates: UpdateWindow) -> RebootWindow:
    """The window as it is written."""
    day, time = updates.window.split()
    hours, minutes = time.split(":")
    return RebootWindow(DAYS.index(day) * _DAY + int(hours) * 60 + int(minutes), updates.hours * 60)


def shared(windows: Sequence[UpdateWindow]) -> list[RebootWindow]:
    """The part of each server. Those with one window have it one after the other, in the order in which they come."""
    parts = []
    for index, updates in enumerate(windows):
        window, sharing = whole(updates), windows.count(updates)
        if sharing > 1:
            length = window.minutes // sharing
            begin = (window.begin + windows[:index].count(updates) * length) % _WEEK
            window = RebootWindow(begin, max(length - _TO_BE_BACK, length // 2))
        parts.append(window)
    return parts
