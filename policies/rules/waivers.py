"""Waivers: a rule may be broken for a time, with a reason and an owner. Its findings are then shown as waived.

A site's component publishes its own (``edge:index:EdgeSite``, ``waivers``); those of the company come with the policy
settings. What cannot be read waives nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase

from policies.rules.kinds import kind_of
from policies.rules.model import Finding, Resource


@dataclass(frozen=True)
class Waiver:
    """One rule that may be broken: everywhere, or only by what the other fields say."""

    rule: str
    reason: str
    owner: str
    expires: date
    """The last day on which it counts."""
    resource: str = ""
    """Name of a resource, as a glob."""
    workload: str = ""
    """`namespace/Kind/name` of a Kubernetes object, each part a glob."""
    image: str = ""
    """Digest that the image has whose need it is."""
    sites: tuple[str, ...] = ()
    """Sites, as globs; a site's own waiver names none."""
    origin: str = ""
    """The file that it is from, where that is not the site's own."""

    def covers(self, finding: Finding) -> bool:
        """Whether it is about ``finding``, on whatever day.

        Not about a rule that failed: nobody knows what it would have found.
        """
        return (
            self.rule == finding.rule
            and not finding.fault
            and finding.level in ("mandatory", "waived")
            and (not self.resource or fnmatchcase(finding.resource, self.resource))
            and (not self.workload or _is_workload(finding.workload, self.workload))
            and (not self.image or _all_of(finding.images, self.image))
            and (not self.sites or any(fnmatchcase(stack_of(finding.urn), site) for site in self.sites))
        )

    def __str__(self) -> str:
        where = f" ({self.origin})" if self.origin else ""
        return f"until {self.expires.isoformat()} by {self.owner}: {self.reason}{where}"


def stack_of(urn: str) -> str:
    """The stack in a URN, which is the site."""
    head, separator, _ = urn.partition("::")
    return head.rpartition(":")[2] if separator else ""


def _is_workload(workload: str, pattern: str) -> bool:
    parts, patterns = workload.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _all_of(images: Sequence[str], digest: str) -> bool:
    return bool(images) and all(image.endswith(f"@{digest}") for image in images)


def publishes(token: str) -> bool:
    """Whether a resource of this type may hold waivers."""
    return kind_of(token).is_part("EdgeSite")


def waivers_of(resource: Resource) -> tuple[Waiver, ...]:
    """The waivers that ``resource`` publishes."""
    listed = resource.props.get("waivers") if publishes(resource.type) else None
    return tuple(waiver for one in listed if (waiver := read(one))) if isinstance(listed, list) else ()


def read(entry: object) -> Waiver | None:
    """A waiver from its fields; None where one of them is not what it must be."""
    if not isinstance(entry, Mapping):
        return None
    needed = [entry.get(key) for key in ("rule", "reason", "owner", "expires")]
    bounds = ["" if entry.get(key) is None else entry[key] for key in ("resource", "workload", "image")]
    if not all(isinstance(text, str) and text.strip() for text in needed):
        return None
    if not all(isinstance(text, str) for text in bounds):
        return None
    rule, reason, owner, expires = map(str, needed)
    resource, workload, image = map(str, bounds)
    try:
        return Waiver(rule, reason, owner, date.fromisoformat(expires), resource, workload, image)
    except ValueError:
        return None


def apply(findings: Iterable[Finding], waivers: Sequence[Waiver], today: date) -> tuple[Finding, ...]:
    """``findings``, those that a waiver covers on the day ``today`` as waived."""
    return tuple(_applied(finding, waivers, today) for finding in findings)


def unused(findings: Sequence[Finding], waivers: Iterable[Waiver]) -> Iterator[Waiver]:
    """Waivers that cover none of ``findings``, waived ones among them."""
    for waiver in waivers:
        if not any(map(waiver.covers, findings)):
            yield waiver


def _applied(finding: Finding, waivers: Sequence[Waiver], today: date) -> Finding:
    about = [waiver for waiver in waivers if waiver.covers(finding)]
    if finding.level != "mandatory" or not about:
        return finding
    if counting := next((waiver for waiver in about if waiver.expires >= today), None):
        return replace(finding, level="waived", waiver=str(counting))
    last = max(about, key=lambda waiver: waiver.expires)
    ended = f"{finding.message} (the waiver by {last.owner} expired on {last.expires.isoformat()})"
    return replace(finding, message=ended)
