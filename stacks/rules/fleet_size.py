"""How many clusters a fleet may have before somebody has to look after them in one place. Advice, no rule. Pure."""

from __future__ import annotations

from stacks.parts import fleet_managers

MOST_UNMANAGED = 50
"""From the reference architecture: Arc or Rancher once there are more clusters."""


def advice(unmanaged: int) -> str | None:
    """What to say of so many clusters that no fleet manager knows; None where there is nothing to say."""
    if unmanaged <= MOST_UNMANAGED:
        return None
    kinds = " or ".join(f"`kind: {kind}`" for kind in fleet_managers())
    return (
        f"{unmanaged} clusters are registered with no fleet manager; above {MOST_UNMANAGED}, nobody keeps an overview "
        f"of their versions and alerts by hand: add {kinds} to `registrations` of the sites, or of their defaults"
    )
