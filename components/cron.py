"""Schedules as K3s reads them: five fields, or a word such as `@daily` (robfig/cron, standard parser). Pure."""

from __future__ import annotations

import re

WORDS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_EVERY = re.compile(r"@every ([0-9]+(\.[0-9]+)?(h|ms|m|s|us|ns))+")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    ("day of the week", 0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class NotASchedule(ValueError):
    """Why a text is no schedule, as the end of a sentence."""


def check(text: str) -> None:
    """Raises ``NotASchedule``."""
    if text.startswith("@"):
        if text not in WORDS and _EVERY.fullmatch(text) is None:
            raise NotASchedule(f"`{text}` is none of {', '.join(WORDS)} and no `@every 6h`")
        return
    words = text.split()
    if len(words) != len(_FIELDS):
        raise NotASchedule(f"it has {len(words)} field{'s' if len(words) != 1 else ''}, a schedule has five")
    values = [_values(word, *field) for word, field in zip(words, _FIELDS, strict=True)]
    _, _, days, months, _ = values
    if words[4] in ("*", "?") and not any(day <= _LONGEST_MONTH[month - 1] for day in days for month in months):
        raise NotASchedule("there is no such day in these months, so that it never comes")


def timer(text: str) -> tuple[str, ...]:
    """The settings of a systemd timer that elapses when a schedule of ``check`` does."""
    if text.startswith("@every "):
        every = re.sub(r"m(?=\d|$)", "min", text.removeprefix("@every "))
        return (f"OnActiveSec={every}", f"OnUnitActiveSec={every}")
    if text.startswith("@"):
        return (f"OnCalendar={text.removeprefix('@').replace('midnight', 'daily')}",)
    words = text.split()
    minutes, hours, days, months, weekdays = (
        "*" if word in ("*", "?") else ",".join(map(str, sorted(_values(word, *field))))
        for word, field in zip(words, _FIELDS, strict=True)
    )
    names = ",".join(_DAYS[int(day)].title() for day in weekdays.split(",") if day != "*")
    time = f"{hours}:{minutes}:00"
    by_day, by_weekday = f"*-{months}-{days} {time}", f"{names} *-{months}-* {time}"
    # As cron has it: with a day of the month and one of the week, either is enough.
    if not names:
        return (f"OnCalendar={by_day}",)
    return (f"OnCalendar={by_weekday}", *([f"OnCalendar={by_day}"] if days != "*" else []))


def _values(word: str, name: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    """The numbers that one field stands for."""
    found: set[int] = set()
    for part in word.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span in ("*", "?"):
            start, end = low, high
        else:
            start = _number(first, name, low, high, names)
            end = _number(last, name, low, high, names) if dash else (high if slash else start)
        if start > end:
            raise NotASchedule(f"in the {name}, `{span}` ends before it begins")
        if slash and (not step.isascii() or not step.isdigit() or int(step) == 0):
            raise NotASchedule(f"in the {name}, `{step}` is no step")
        found |= set(range(start, end + 1, int(step) if slash else 1))
    return found


def _number(text: str, name: str, low: int, high: int, names: dict[str, int]) -> int:
    number = names.get(text.lower(), int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1)
    if not low <= number <= high:
        sunday = "; Sunday is 0" if names and text == "7" else ""
        raise NotASchedule(f"`{text}` is no {name} ({low} to {high}{sunday})")
    return number
