"""Rules about a site's waivers. Pure: whether one has expired depends on the day, which the caller gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date

from sitefile.problems import Finding, any_of, near_miss
from stacks.site import SiteSpec


def findings(spec: SiteSpec, rules: Callable[[], Sequence[str]]) -> Iterator[Finding]:
    """Waivers of rules that do not exist, and two of one rule. ``rules`` gives the ids of those that do."""
    if not spec.waivers:
        return
    known = rules()
    first: dict[str, int] = {}
    for index, waiver in enumerate(spec.waivers):
        if waiver.rule not in known:
            near = near_miss(waiver.rule, known)
            group = [rule for rule in known if rule.partition("/")[0] == waiver.rule.partition("/")[0]]
            yield Finding(
                ("waivers", index, "rule"),
                f"there is no policy rule `{waiver.rule}`" + (f": did you mean `{near}`?" if near else ""),
                any_of(group) if group else f"one of the {len(known)} rules in docs/policies.md",
                f"write `{near}`" if near else "take the name from the finding, or from docs/policies.md",
            )
        if (other := first.setdefault(waiver.rule, index)) != index:
            yield Finding(
                ("waivers", index, "rule"),
                f"`{waiver.rule}` is waived twice: waivers[{other}] is the other one",
                "one waiver for each rule",
                "remove one of the two",
            )


def expired(spec: SiteSpec, today: date) -> Iterator[Finding]:
    """Waivers whose last day is before ``today``."""
    for index, waiver in enumerate(spec.waivers):
        if date.fromisoformat(waiver.expires) < today:
            yield Finding(
                ("waivers", index, "expires"),
                f"the waiver of `{waiver.rule}` has expired",
                f"a day from {today.isoformat()} on",
                f"keep the rule and remove the waiver, or ask its owner ({waiver.owner}) for a new date",
            )
