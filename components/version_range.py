"""Ranges of versions in the form that Flux reads (Masterminds/semver). Pure.

`>=1.2.0 <2.0.0`, `~1.4`, `^2`, `1.x`, `1.2 - 1.4`, alternatives with `||`.
"""

from __future__ import annotations

import re

_PART = r"[0-9]+|x|X|\*"
_VERSION = rf"v?(?:{_PART})(?:\.(?:{_PART}))?(?:\.(?:{_PART}))?(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_COMPARATOR = re.compile(rf"(=|!=|>=|=>|<=|=<|>|<|~>|~|\^)?\s*({_VERSION})(?=[\s,]|$)")
_HYPHEN = re.compile(rf"({_VERSION})\s+-\s+({_VERSION})")
_LOWER, _UPPER = (">", ">=", "=>"), ("<", "<=", "=<")


class NotARange(ValueError):
    """Why a text is no range, as the end of a sentence."""


def check(text: str) -> None:
    """Raises ``NotARange``."""
    for alternative in text.split("||"):
        _alternative(alternative.strip())


def _alternative(text: str) -> None:
    if not text:
        raise NotARange("one of its alternatives is empty")
    if match := _HYPHEN.fullmatch(text):
        _not_empty([(">=", match[1]), ("<=", match[2])], text)
        return
    found, at = [], 0
    while at < len(text):
        match = _COMPARATOR.match(text, at)
        if match is None:
            raise NotARange(f"`{text[at:][:30]}` is no version with an operator before it")
        found.append((match[1] or "=", match[2]))
        at = match.end()
        while at < len(text) and text[at] in " \t,":
            at += 1
    _not_empty(found, text)


def _not_empty(comparators: list[tuple[str, str]], text: str) -> None:
    low = max((_numbers(version) for operator, version in comparators if operator in _LOWER), default=None)
    high = min((_numbers(version) for operator, version in comparators if operator in _UPPER), default=None)
    if low is not None and high is not None and low > high:
        raise NotARange(f"no version is in `{text}`: it ends before it begins")


def _numbers(version: str) -> tuple[int, ...]:
    release = re.split(r"[-+]", version.removeprefix("v"))[0].split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in (*release, "0", "0"))[:3]
