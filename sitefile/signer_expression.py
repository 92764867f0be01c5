"""Regular expressions that say who may sign (issuer and subject of an OIDC identity): whether one trusts strangers.

The one definition, whoever asks; standard library only.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

STRANGERS = (
    "https://stranger.invalid",
    "https://github.com/stranger/x/.github/workflows/x.yml@refs/heads/x",
    "x@y.invalid",
)
"""What an expression must not match: another issuer, another repository, another person."""

_NOT_RE2 = re.compile(r"\(\?(?![:imsU-])|\\[1-9]")


class Fault(NamedTuple):
    """Why an expression must not be used, and what to do."""

    what: str
    remedy: str


@functools.lru_cache(maxsize=256)
def fault_of(value: str) -> Fault | None:
    """What is wrong with an expression; None for nothing."""
    try:
        expression = re.compile(value)
    except re.error as error:
        return Fault(f"it is no regular expression ({error})", "correct it, or escape what is meant as text")
    if _NOT_RE2.search(value):
        return Fault("Flux' expressions (RE2) have no look-around and no references", "write it without these")
    if any(expression.search(stranger) for stranger in STRANGERS):
        return Fault("it matches anybody, so that nothing is verified", "name the workflow or the person that signs")
    # An alternative has anchors of its own: `^a|b$` is found anywhere in a text that ends in b.
    if not value.startswith("^") or not value.endswith("$") or value.endswith("\\$") or _alternatives(value):
        return Fault(
            "without `^` and `$` it is looked for anywhere, so that others can put it into their own names",
            f"write `^{_grouped(value.removeprefix('^').removesuffix('$'))}$`",
        )
    return None


def _alternatives(value: str) -> bool:
    """Whether there is a `|` outside of any group."""
    depth, in_class, escaped = 0, False, False
    for character in value:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "|" and depth == 0:
            return True
    return False


def _grouped(value: str) -> str:
    return f"(?:{value})" if _alternatives(value) else value
