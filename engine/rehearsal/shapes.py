"""Compiled checks of property values: each shape is a function that walks a value and reports what does not fit.

Owns the vocabulary of findings ("expected a whole number, found text") and the rule that a secret's content is never
quoted. Where shapes come from is for `sdk_types` (the SDKs' classes) and `kubernetes_objects` (the Kubernetes OpenAPI).
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.rehearsal.values import SIGNATURE, UNKNOWN, Secret, join


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a provider would refuse. ``property`` is a path in Pulumi's notation, empty for the whole resource."""

    urn: str
    property: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.urn}: {self.property}" if self.property else self.urn
        return f"{where}: {self.reason}"


class Report:
    """Collects findings of one resource. While inside a secret, values are not quoted."""

    __slots__ = ("findings", "hidden")

    def __init__(self) -> None:
        self.findings: list[tuple[str, str]] = []
        self.hidden = 0

    def add(self, path: str, reason: str) -> None:
        self.findings.append((path, reason))

    def quote(self, value: Any) -> str:
        """The value for a message, or only its kind where it is secret."""
        if self.hidden or not isinstance(value, str | int | float | bool):
            return kind_of(value)
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."


Shape = Callable[[Any, str, Report], None]


def kind_of(value: Any) -> str:
    """What a value is, in words that never hold it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an asset or archive" if SIGNATURE in value else "a mapping"
    return type(value).__name__


def suggestion(word: str, known: Iterable[str]) -> str:
    """`` (did you mean "x"?)`` for the closest known word, else nothing."""
    names = {_bare(name): name for name in known}
    exact = names.get(_bare(word))
    close = [exact] if exact else [names[hit] for hit in difflib.get_close_matches(_bare(word), names, 1, 0.7)]
    return f' (did you mean "{close[0]}"?)' if close else ""


def _bare(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()


def _opened(shape: Shape) -> Shape:
    """``shape``, looking through secrets and letting through what is not known yet."""

    def check(value: Any, path: str, report: Report) -> None:
        if type(value) is Secret:
            report.hidden += 1
            check(value.value, path, report)
            report.hidden -= 1
        elif value is not UNKNOWN:
            shape(value, path, report)

    return check


def anything(value: Any, path: str, report: Report) -> None:
    """Accepts every value."""


def _expect(report: Report, path: str, expected: str, value: Any) -> None:
    report.add(path, f"expected {expected}, found {kind_of(value)}")


@_opened
def text(value: Any, path: str, report: Report) -> None:
    if not isinstance(value, str):
        _expect(report, path, "text", value)


@_opened
def boolean(value: Any, path: str, report: Report) -> None:
    if not isinstance(value, bool):
        _expect(report, path, "true or false", value)


@_opened
def number(value: Any, path: str, report: Report) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _expect(report, path, "a number", value)


@_opened
def integer(value: Any, path: str, report: Report) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _expect(report, path, "a whole number", value)
    elif value != int(value):
        report.add(path, f"expected a whole number, found {report.quote(value)}")


@_opened
def asset(value: Any, path: str, report: Report) -> None:
    if not (isinstance(value, dict) and SIGNATURE in value):
        _expect(report, path, "an asset or archive", value)


@_opened
def base64_text(value: Any, path: str, report: Report) -> None:
    if not isinstance(value, str):
        _expect(report, path, "base64 text", value)
        return
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        report.add(path, "expected base64 text; plain text belongs in stringData")


def one_of(options: Collection[Any]) -> Shape:
    """One of a closed set of values."""
    allowed = frozenset(options)
    listed = ", ".join(sorted(str(option) for option in allowed))

    @_opened
    def check(value: Any, path: str, report: Report) -> None:
        if isinstance(value, dict | list):
            _expect(report, path, f"one of {listed}", value)
        elif value not in allowed:
            hint = suggestion(str(value), [str(option) for option in allowed]) if not report.hidden else ""
            report.add(path, f"expected one of {listed}, found {report.quote(value)}{hint}")

    return check


def matching(pattern: str, expected: str) -> Shape:
    """Text in which ``pattern`` is found, as OpenAPI and Go's regexp have it."""
    compiled = re.compile(pattern)

    @_opened
    def check(value: Any, path: str, report: Report) -> None:
        if not isinstance(value, str):
            _expect(report, path, expected, value)
        elif not compiled.search(value):
            report.add(path, f"expected {expected}, found {report.quote(value)}")

    return check


def bounded(shape: Shape, minimum: float | None, maximum: float | None) -> Shape:
    """A number within bounds, both inclusive."""

    @_opened
    def check(value: Any, path: str, report: Report) -> None:
        before = len(report.findings)
        shape(value, path, report)
        if len(report.findings) != before or isinstance(value, bool):
            return
        if minimum is not None and value < minimum:
            report.add(path, f"expected at least {minimum:g}, found {report.quote(value)}")
        elif maximum is not None and value > maximum:
            report.add(path, f"expected at most {maximum:g}, found {report.quote(value)}")

    return check


def list_of(item: Shape) -> Shape:
    @_opened
    def check(value: Any, path: str, report: Report) -> None:
        if not isinstance(value, list):
            _expect(report, path, "a list", value)
            return
        for index, element in enumerate(value):
            item(element, f"{path}[{index}]", report)

    return check


def map_of(item: Shape) -> Shape:
    @_opened
    def check(value: Any, path: str, report: Report) -> None:
        if not isinstance(value, dict) or SIGNATURE in value:
            _expect(report, path, "a mapping", value)
            return
        if item is anything:
            return
        for key, element in value.items():
            item(element, join(path, key), report)

    return check


def record_of(fields: Mapping[str, Shape], required: Collection[str] = (), rest: Shape | None = None) -> Shape:
    """A mapping with known keys. ``rest`` is the shape of all other keys; None makes any other key a finding."""
    needed = tuple(required)

    @_opened
    def check(value: Any, path: str, report: Report) -> None:
        if not isinstance(value, dict) or SIGNATURE in value:
            _expect(report, path, "a mapping", value)
            return
        for key, element in value.items():
            shape = fields.get(key, rest)
            if shape is None:
                report.add(join(path, key), f"unknown property{suggestion(key, fields)}")
            elif element is not None:
                shape(element, join(path, key), report)
        for key in needed:
            if value.get(key) is None:
                report.add(join(path, key), "missing required property")

    return check


def any_of(shapes: Collection[Shape], expected: str | None = None) -> Shape:
    """A value that fits at least one shape; when none fits, the findings of the one that comes closest."""
    options = tuple(shapes)
    if len(options) == 1:
        return options[0]

    @_opened
    def check(value: Any, path: str, report: Report) -> None:
        closest: list[tuple[str, str]] | None = None
        for shape in options:
            attempt = Report()
            attempt.hidden = report.hidden
            shape(value, path, attempt)
            if not attempt.findings:
                return
            if closest is None or _depth(attempt.findings, path) > _depth(closest, path):
                closest = attempt.findings
        if expected is not None and _depth(closest or [], path) == 0:
            _expect(report, path, expected, value)
        else:
            report.findings.extend(closest or [])

    return check


def _depth(findings: list[tuple[str, str]], path: str) -> int:
    """How far below ``path`` the first finding lies; a finding at the value itself means the wrong kind altogether."""
    return min(len(found) - len(path) for found, _ in findings) if findings else 0


def deferred(make: Callable[[], Shape]) -> Shape:
    """A shape that is compiled when it is first met, so that types may refer to themselves."""
    made: list[Shape] = []

    def check(value: Any, path: str, report: Report) -> None:
        if not made:
            made.append(make())
        made[0](value, path, report)

    return check
