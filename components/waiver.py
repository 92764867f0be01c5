"""What a waiver says in a file, of a site or of the company, and rules about it.

Pure: whether one has expired depends on the day, which the caller gives; whether one is used, on what the policies
found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints

from components.specs import Spec
from components.types import Date, NonEmpty
from sitefile.problems import Finding, any_of, near_miss


class WaiverSpec(Spec):
    """One policy that this site may break, for a time."""

    rule: Annotated[NonEmpty, Field(examples=["network/mtls-strict"])]
    """The rule, as docs/policies.md has it: `network/mtls-strict`."""

    reason: Annotated[NonEmpty, Field(examples=["the kernel of the vendor has no WireGuard"])]
    """Why the site must break it, for those who read it a year later. Shown with each finding; not for secrets."""

    owner: Annotated[NonEmpty, Field(examples=["platform team"])]
    """Who answers for it: a team or a person."""

    expires: Date
    """The last day on which it counts (UTC). After it `edge check` fails until the waiver is renewed or removed."""

    resource: Annotated[NonEmpty, Field(examples=["prod-a-telemetry"])] | None = None
    """Only findings on resources with this name, as findings show it; `*` stands for any characters."""

    workload: (
        Annotated[
            str,
            StringConstraints(pattern=r"^[^/\s]*/[^/\s]+/[^/\s]+$"),
            Field(examples=["edge-inference/Deployment/triton"]),
        ]
        | None
    ) = None
    """Only findings on this Kubernetes object: `namespace/Kind/name`, each with `*` for any characters."""

    image: (
        Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$"), Field(examples=["sha256:2f98a9..."])] | None
    ) = None
    """Only while the container that the finding is about has the image with this digest: an image's need ends with
    the image."""


def findings(waivers: Sequence[WaiverSpec], rules: Callable[[], Sequence[str]]) -> Iterator[Finding]:
    """Waivers of rules that do not exist, and two for the same. ``rules`` gives the ids of those that do."""
    if not waivers:
        return
    known = rules()
    first: dict[str, int] = {}
    for index, waiver in enumerate(waivers):
        if waiver.rule not in known:
            near = near_miss(waiver.rule, known)
            group = [rule for rule in known if rule.partition("/")[0] == waiver.rule.partition("/")[0]]
            yield Finding(
                ("waivers", index, "rule"),
                f"there is no policy rule `{waiver.rule}`" + (f": did you mean `{near}`?" if near else ""),
                any_of(group) if group else f"one of the {len(known)} rules in docs/policies.md",
                f"write `{near}`" if near else "take the name from the finding, or from docs/policies.md",
            )
        same = waiver.model_dump_json(exclude={"reason", "owner", "expires"})
        if (other := first.setdefault(same, index)) != index:
            yield Finding(
                ("waivers", index, "rule"),
                f"`{waiver.rule}` is waived twice: waivers[{other}] is the other one",
                "one waiver for each rule, or for each resource, workload and image that breaks it",
                "remove one of the two",
            )


def expired(waivers: Sequence[WaiverSpec], today: date) -> Iterator[Finding]:
    """Waivers whose last day is before ``today``."""
    for index, waiver in enumerate(waivers):
        if date.fromisoformat(waiver.expires) < today:
            yield Finding(
                ("waivers", index, "expires"),
                f"the waiver of `{waiver.rule}` has expired",
                f"a day from {today.isoformat()} on",
                f"keep the rule and remove the waiver, or ask its owner ({waiver.owner}) for a new date",
            )


def unused(waivers: Sequence[WaiverSpec], indices: Collection[int]) -> Iterator[Finding]:
    """The waivers at ``indices``, which cover no finding of the policies."""
    for index in indices:
        waiver = waivers[index]
        bound = next((key for key in ("image", "workload", "resource") if getattr(waiver, key)), "rule")
        yield Finding(
            ("waivers", index, bound),
            f"the waiver of `{waiver.rule}` covers nothing: the rule is kept"
            + ("" if bound == "rule" else f", or broken elsewhere than this `{bound}`"),
            "a mandatory finding that it is about",
            "remove the waiver" + ("" if bound == "rule" else f", or correct `{bound}`"),
        )
