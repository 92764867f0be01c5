"""What an edit of a site does to a site that is up: the words that every part uses to say so. Pure.

An ``Edit`` is one kind of edit; a part declares its own in its folder. A ``Consequence`` is an edit that was found,
with the host and the reason. What cannot be known counts as destroying.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_CONSENT = re.compile(r"[a-z0-9][a-z0-9-]*:[a-z0-9-]+:[A-Za-z0-9-]+", re.ASCII)


class Effect(StrEnum):
    """How bad it is, worst first."""

    IMPOSSIBLE = "impossible"
    """Cannot work. It is refused, with the way that does work."""
    DESTROYS = "destroys"
    """Loses data or an identity. It needs consent."""
    INTERRUPTS = "interrupts"
    """Something that runs stops for a while."""
    HARMLESS = "harmless"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Effect).index(self)


@dataclass(frozen=True)
class Edit:
    """One kind of edit."""

    name: str
    """What `--json` and consent call it: `host-removed`."""
    title: str
    """What was edited, for the reference: `A host is removed`."""
    effect: Effect
    plain: str
    """What plain `pulumi up` does, where nobody has consented."""

    def found(self, part: str, reason: str, way: str = "", *, host: str = "", node: str = "") -> Consequence:
        """This edit, found in a site."""
        return Consequence(self, part, reason, way, host, node)


@dataclass(frozen=True)
class Consequence:
    """What one edit means for one site."""

    edit: Edit
    part: str
    """The part of the site that it concerns: `host`, `k3s`, `tailscale`."""
    reason: str
    """One sentence: what happens, and why."""
    way: str = ""
    """How to get there without loss."""
    host: str = ""
    """The host's name in the site file; empty where it concerns the whole part."""
    node: str = ""
    """The host's name outside the site."""

    @property
    def effect(self) -> Effect:
        return self.edit.effect

    @property
    def names(self) -> tuple[str, ...]:
        """What `--allow-destroy` may call it."""
        return tuple(name for name in (self.host, self.node) if name) or (self.part,)

    def as_dict(self) -> dict[str, str]:
        return {
            "class": self.effect.value,
            "edit": self.edit.name,
            "part": self.part,
            "host": self.host,
            "reason": self.reason,
            "way": self.way,
        }


def consents_of(setting: str) -> dict[str, str]:
    """The stack setting `edge:allow-destroy`, by node: `NODE:CHANGE:WORD`, separated by spaces.

    A change is the name of an edit. The host notes the whole entry when it has used it: another word is another
    consent. Raises ValueError for what has another form.
    """
    found: dict[str, list[str]] = {}
    for entry in setting.split():
        if not _CONSENT.fullmatch(entry):
            raise ValueError(f"{entry!r} is not NODE:CHANGE:WORD, such as prod-a:k3s-patch-downgrade:2026-11-26")
        node, _, change = entry.partition(":")
        found.setdefault(node, []).append(change)
    return {node: " ".join(changes) for node, changes in found.items()}


def worst_first(found: list[Consequence]) -> tuple[Consequence, ...]:
    """Each once, the worst first, otherwise in the order in which they were found."""
    return tuple(sorted(dict.fromkeys(found), key=lambda one: one.effect.rank))


@dataclass(frozen=True)
class Removal:
    """What the removal of a part means, where that is all that its edits can do."""

    edit: Edit
    reason: str
    way: str = ""
