"""What a stack holds that ends by itself: made anew when a run needs it alive, and left dead in all others.

The program says what that is (``components.part.Expiring``), and the preview whether something needs it. So no date is
in a program, and a site that is up shows no change because a key has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.run.events import ResourceChange
    from stacks.edge_site import EdgeSite

KUBECONFIG = "the kubeconfig of the stack"
_RUN = timedelta(hours=1)
"""How much later than the preview something may be needed."""


@dataclass(frozen=True)
class Renewal:
    """That something is made anew, or read again, in a run, and why."""

    what: str
    urn: str
    why: str


def as_arguments(renewals: Iterable[Renewal]) -> list[str]:
    """Arguments of `pulumi` that bring them about. The resources have nothing to delete that anybody needs."""
    return [word for one in renewals for word in ("--replace", one.urn)]


@dataclass(frozen=True)
class _One:
    what: str
    urn: str
    ends: datetime
    needed_by: frozenset[str]


@dataclass
class Held:
    """What the program of a site tells of it in each of its runs, by ``learn``."""

    found: list[_One] = field(default_factory=list)

    def learn(self, site: EdgeSite) -> None:
        """Take from a built site what is needed. Called within its program."""
        from pulumi import Output

        self.found.clear()
        for one in site.expiring:
            # Not known before it is made: then it is alive.
            Output.all(one.what, one.urn, one.ends, *one.needed_by).apply(self._hold)

    def _hold(self, told: Sequence[str | None]) -> None:
        what, urn, ends, *needed_by = told
        try:
            time = datetime.fromisoformat(ends or "")
        except ValueError:
            return
        self.found.append(_One(what or "", urn or "", time, frozenset(filter(None, needed_by))))

    def renewals(self, changes: Iterable[ResourceChange]) -> list[Renewal]:
        """What has to be made anew for a run with these ``changes``."""
        changed = {change.urn for change in changes if change.op != "same"}
        now = datetime.now(UTC)
        return [
            Renewal(
                one.what,
                one.urn,
                f"the old one {'ended' if one.ends <= now else 'ends'} at {one.ends:%Y-%m-%d %H:%M} UTC",
            )
            for one in self.found
            if one.ends <= now + _RUN and one.urn not in changed and changed & one.needed_by
        ]
