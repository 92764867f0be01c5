"""What is wrong with a file, for the person who wrote it.

Owns the form of a problem, its position and how it is shown. Finds no problems itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

EXCERPT_WIDTH = 110
SHOWN_VALUE_WIDTH = 60
UNPRINTABLE = "·"
"""Replaces control characters, which a terminal would interpret."""

PathElement = str | int
DataPath = tuple[PathElement, ...]


class Position(NamedTuple):
    """A position in a file; line and column count from 1, columns in characters."""

    file: Path
    line: int
    column: int


class Finding(NamedTuple):
    """What a rule says about the value at ``path``. The file check adds the position."""

    path: DataPath
    what: str
    expected: str
    remedy: str
    advice: bool = False
    """Worth knowing, and no reason to refuse the file."""


class Unfit(ValueError):
    """Raised by the validator of one value, which knows better than "write it in this form" what to do.

    ``{key}`` in the remedy stands for the value of the key ``key`` beside this one.
    """

    def __init__(self, what: str, expected: str, remedy: str) -> None:
        super().__init__(f"{what}: expected {expected}: {remedy}")
        self.what, self.expected, self.remedy = what, expected, remedy


class Conflicts(ValueError):
    """Raised by the validator of a whole block: everything that is wrong between its values, by paths within it."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(f"{finding.what}: expected {finding.expected}" for finding in self.findings))


@dataclass(frozen=True)
class Problem:
    """One thing to correct: where it is, what is wrong, what was expected and what to do."""

    file: Path
    line: int
    column: int
    path: str
    what: str
    expected: str
    remedy: str
    code: str = ""
    excerpt: str = ""

    @classmethod
    def at(cls, position: Position, code: str, what: str, expected: str, remedy: str, path: DataPath = ()) -> Problem:
        return cls(position.file, position.line, position.column, dotted(path), what, expected, remedy, code)

    @property
    def position(self) -> Position:
        return Position(self.file, self.line, self.column)

    def as_dict(self) -> dict[str, Any]:
        return {
            "file": self.file.as_posix(),
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "code": self.code,
            "what": self.what,
            "expected": self.expected,
            "remedy": self.remedy,
        }

    def render(self) -> str:
        lines = [f"{self.file.as_posix()}:{self.line}:{self.column}: {self.what}"]
        if self.excerpt:
            lines += _with_caret(self.excerpt, self.line, self.column)
        if self.expected:
            lines.append(f"    expected: {self.expected}")
        if self.remedy:
            lines.append(f"    do: {self.remedy}")
        return "\n".join(lines)


class FileError(Exception):
    """A file cannot be used. ``problems`` holds everything that is wrong with it, in the order of the lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = in_order(problems)
        super().__init__(render(self.problems))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By file and line, without duplicates."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.file.as_posix(), p.line, p.column, p.code, p.what)))


def render(problems: Sequence[Problem]) -> str:
    return "\n".join(problem.render() for problem in problems)


def dotted(path: DataPath) -> str:
    """``("boxes", 1, "address")`` as people write it: ``boxes[1].address``."""
    text = ""
    for element in path:
        if isinstance(element, int):
            text += f"[{element}]"
        else:
            text += f".{element}" if text else element
    return text


def near_miss(written: object, valid: Iterable[str]) -> str | None:
    """The valid word that was probably mistyped. A word that only has a part in common with it is another word."""
    text = str(written).lower()
    choices = {choice.lower(): choice for choice in valid}
    close = get_close_matches(text, choices, n=3, cutoff=0.6)
    return next((choices[choice] for choice in close if _slips(text, choice) <= max(1, len(choice) // 4)), None)


def _slips(written: str, meant: str) -> int:
    """Characters left out, added, replaced or swapped with their neighbour (optimal string alignment)."""
    before, above = list[int](), list(range(len(meant) + 1))
    for row, a in enumerate(written, start=1):
        current = [row]
        for column, b in enumerate(meant, start=1):
            cost = min(above[column] + 1, current[-1] + 1, above[column - 1] + (a != b))
            if row > 1 and column > 1 and a == meant[column - 2] and written[row - 2] == b:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, above = above, current
    return above[-1]


def any_of(words: Iterable[str]) -> str:
    """A choice for use in a sentence: `a`, `b` or `c`."""
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}" if quoted else "nothing"


def printable(text: str) -> str:
    """One line, without what a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else UNPRINTABLE for c in text)


def shown(text: str) -> str:
    """A value in backticks, cut to a length that fits a sentence."""
    flat = printable(" ".join(text.split()))
    return f"`{flat if len(flat) <= SHOWN_VALUE_WIDTH else flat[: SHOWN_VALUE_WIDTH - 1] + '…'}`"


def _with_caret(source: str, line: int, column: int) -> list[str]:
    """The line, cut to a window around the caret when it is long, and the caret below it."""
    start = max(0, column - EXCERPT_WIDTH + 20) if len(source) > EXCERPT_WIDTH else 0
    window = source[start : start + EXCERPT_WIDTH].replace("\t", "→")
    window = printable(window)
    gutter = f"    {line} | "
    return [gutter + window, " " * (len(gutter) - 2) + "| " + " " * (column - 1 - start) + "^"]
