"""Text that may hold Kubernetes manifests, as values: YAML or JSON, also with template text in its values.

What a template decides is ``UNKNOWN``. Judges nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import yaml

from policies.rules.model import UNKNOWN

_LARGEST = 100_000
"""Values in one text, aliases resolved. A text beyond it was made to be slow."""

_MARKS = {"<<": re.compile(r"<<(?!:)"), "{{": re.compile(r"\{\{")}
_KEY = r"(?:^|[\s{,\[\"'?-]){0}[\"']?\s*:"
_SAYS_API_VERSION, _SAYS_KIND = (re.compile(_KEY.replace("{0}", key)) for key in ("apiVersion", "kind"))
_ESCAPED = re.compile(r"\\[uUx][0-9a-fA-F]{2}")


class Parsed(NamedTuple):
    """The documents of a text, or why there are none."""

    documents: tuple[Any, ...] = ()
    problem: str = ""


def may_be_manifests(text: str) -> bool:
    """Whether the text is worth parsing: it names both keys, or hides names behind escapes."""
    return ("apiVersion" in text and "kind" in text) or ("\\" in text and _ESCAPED.search(text) is not None)


def looks_like_manifests(text: str) -> bool:
    """Whether people would take the text for manifests, also where it is no YAML."""
    return _SAYS_API_VERSION.search(text) is not None and _SAYS_KIND.search(text) is not None


@functools.lru_cache(maxsize=256)
def parsed(text: str, mark: str) -> Parsed:
    """The YAML documents of ``text``; ``mark`` begins what a template replaces (`<<` or `{{`)."""
    try:
        documents = tuple(yaml.load_all(text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        template = _MARKS[mark].search(text) is not None
        return Parsed(problem="is a template that is no YAML by itself" if template else "is not YAML")
    found = sum(_marks_in(value, mark) for value in _strings(documents))
    if found < 0:
        return Parsed(problem="is too large")
    if found != len(_MARKS[mark].findall(text)):
        return Parsed(problem="is a template that decides more than values")
    return Parsed(tuple(filled(document, mark) for document in documents) if found else documents)


def filled(value: Any, mark: str) -> Any:
    """``value``, ``UNKNOWN`` in place of each string that a template changes."""
    if isinstance(value, str):
        return UNKNOWN if mark in value and _marks_in(value, mark) else value
    if isinstance(value, dict):
        return {key: filled(child, mark) for key, child in value.items()}
    if isinstance(value, list):
        return [filled(child, mark) for child in value]
    return value


def _marks_in(text: str | None, mark: str) -> int:
    return -10 * _LARGEST if text is None else len(_MARKS[mark].findall(text)) if mark in text else 0


def _strings(documents: Iterable[Any]) -> Iterator[str | None]:
    """Every string value; None at last where there are too many values."""
    pending, seen = list(documents), 0
    while pending:
        value = pending.pop()
        seen += 1
        if seen > _LARGEST:
            yield None
            return
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
