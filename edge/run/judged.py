"""Which policies ran in a run of the engine, and on which resources: as the engine tells it, not as it was asked to.

No finding means that nothing is wrong only where the rules ran.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACK = "edge"
"""Name of the project's own policy pack."""


@dataclass
class Judged:
    """What the engine has told of the policy packs of one run."""

    packs: dict[str, str] = field(default_factory=dict)
    """Version by name, of the packs that the engine has loaded; known when the run has ended."""
    policies: set[str] = field(default_factory=set)
    """Policies of the project's pack that ran, on resources or on the whole stack."""
    urns: set[str] = field(default_factory=set)
    """Resources that the project's pack has judged."""

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take an event of any kind."""
        alone, together = event.get("policyAnalyzeSummaryEvent"), event.get("policyAnalyzeStackSummaryEvent")
        if (told := alone or together) and told.get("policyPackName") == PACK:
            self.policies.update(told.get("passed") or (), told.get("failed") or ())
            if alone:
                self.urns.add(alone["resourceUrn"])
        elif summary := event.get("summaryEvent"):
            # A local pack is told as `name|local|folder`.
            loaded = summary.get("PolicyPacks") or {}
            self.packs = {name.partition("|")[0]: version for name, version in sorted(loaded.items())}


@dataclass(frozen=True)
class Verdict:
    """What the policies have looked at, of all that they should have."""

    packs: Mapping[str, str]
    rules: int
    rules_expected: int
    resources: int
    not_judged: tuple[str, ...]
    """URNs of resources that no policy has seen."""

    @property
    def ran(self) -> bool:
        """Whether any rule ran on anything."""
        return bool(self.rules)

    @property
    def complete(self) -> bool:
        """Whether every rule ran, and on every resource: only then does no finding mean that nothing is wrong."""
        return PACK in self.packs and self.rules == self.rules_expected and not self.not_judged

    def as_dict(self) -> dict[str, Any]:
        return {
            "complete": self.complete,
            "packs": dict(self.packs),
            "rules": self.rules,
            "rules_expected": self.rules_expected,
            "resources": self.resources,
            "not_judged": list(self.not_judged),
        }


def verdict(judged: Judged, urns: Collection[str], pack: Path | None = None) -> Verdict:
    """What was judged of the resources ``urns``, which are all that the program has asked for.

    ``pack`` is the folder of the project's pack, by default the program's.
    """
    from policies.own import catalogue_of
    from policies.rules.catalogue import CATALOGUE, rules_of

    catalogue = catalogue_of(pack) if pack else CATALOGUE
    missing = sorted(set(urns) - judged.urns)
    return Verdict(
        judged.packs,
        len(rules_of(judged.policies, catalogue)),
        len(catalogue),
        len(urns) - len(missing),
        tuple(missing),
    )
