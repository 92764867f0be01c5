"""Waivers: a site may break a rule for a time, with a reason and an owner. Its findings are then shown as waived.

A site's component publishes them (``edge:index:EdgeSite``, ``waivers``). What cannot be read there waives nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from policies.rules.kinds import kind_of
from policies.rules.model import Finding, Resource


@dataclass(frozen=True)
class Waiver:
    """One rule that a site may break."""

    rule: str
    reason: str
    owner: str
    expires: date
    """The last day on which it counts."""


def publishes(token: str) -> bool:
    """Whether a resource of this type may hold waivers."""
    return kind_of(token).is_part("EdgeSite")


def waivers_of(resource: Resource) -> tuple[Waiver, ...]:
    """The waivers that ``resource`` publishes."""
    listed = resource.props.get("waivers") if publishes(resource.type) else None
    return tuple(waiver for one in listed if (waiver := _read(one))) if isinstance(listed, list) else ()


def _read(entry: object) -> Waiver | None:
    if not isinstance(entry, dict):
        return None
    rule, reason, owner, expires = (entry.get(key) for key in ("rule", "reason", "owner", "expires"))
    if not all(isinstance(text, str) and text.strip() for text in (rule, reason, owner, expires)):
        return None
    try:
        return Waiver(str(rule), str(reason), str(owner), date.fromisoformat(str(expires)))
    except ValueError:
        return None


def apply(findings: Iterable[Finding], waivers: Sequence[Waiver], today: date) -> tuple[Finding, ...]:
    """``findings``, those that a waiver covers on the day ``today`` as waived.

    A rule that failed is not waived: nobody knows what it would have found.
    """
    by_rule = {waiver.rule: waiver for waiver in waivers}
    return tuple(_applied(finding, by_rule.get(finding.rule), today) for finding in findings)


def _applied(finding: Finding, waiver: Waiver | None, today: date) -> Finding:
    if waiver is None or finding.level != "mandatory" or finding.fault:
        return finding
    if waiver.expires < today:
        ended = f"{finding.message} (the waiver by {waiver.owner} expired on {waiver.expires.isoformat()})"
        return replace(finding, message=ended)
    return replace(
        finding, level="waived", waiver=f"until {waiver.expires.isoformat()} by {waiver.owner}: {waiver.reason}"
    )
