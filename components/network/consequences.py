"""What edits of the way out do to a site that is up. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.consequence import Consequence, Edit, Effect
from components.egress import Egress
from components.host.applied import Applied

PART = "network"
ROLE = "network"
"""Role of the command that sets up a host's way out, and of its clean-up."""

_MARK = re.compile(r"^# \S+: the way out \(([0-9a-f]{16})\)", re.MULTILINE)

CHANGED = Edit(
    "network-changed",
    "The proxy, what is reached without it, or a trusted authority changes",
    Effect.INTERRUPTS,
    "restarts K3s and the mesh on each host; containers keep running",
)
REMOVED = Edit(
    "network-removed",
    "`network` is removed from a site",
    Effect.INTERRUPTS,
    "restarts K3s and the mesh on each host, which then go out without proxy and trust no private authority",
)
EDITS = (CHANGED, REMOVED)


def consequences(before: Applied, egress: Egress) -> Iterator[Consequence]:
    """What becomes of what goes out. A login is a secret: that it changes cannot be seen here."""
    if not before.hosts:
        return
    scripts = [one.script() for node in before.hosts if (one := before.command(f"{node}-{ROLE}"))]
    marks = {found[1] if (found := _MARK.search(script)) else "unknown" for script in scripts}
    if not egress:
        if scripts:
            yield REMOVED.found(
                PART,
                "the hosts go out without proxy, and trust no private authority: K3s and the mesh restart; containers "
                "keep running.",
                "make sure that the hosts reach what they need without it",
            )
        return
    if marks != {egress.fingerprint}:
        yield CHANGED.found(
            PART,
            "the way out changes: K3s and the mesh restart on each host, servers one after the other; containers keep "
            "running.",
            "do it in a maintenance window; name the hosts' network in `no_proxy`, so that a further host changes "
            "nothing on the others",
        )
