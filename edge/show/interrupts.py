"""What ^C means while a run goes on."""

from __future__ import annotations

_INTERRUPT_NOTICES = (
    "stopping after the steps that are running (^C again stops at once)",
    "stopping at once: steps that were running may be repeated later",
    "killed",
)


def notice(times: int) -> str:
    """What the nth ^C means."""
    return _INTERRUPT_NOTICES[min(times, len(_INTERRUPT_NOTICES)) - 1]
