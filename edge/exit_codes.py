"""Exit codes of `edge`. The largest one wins where a command covers several sites."""

from __future__ import annotations

DONE = 0
FAILED = 1
"""An operation failed, or a policy refused it."""
BAD_INPUT = 2
"""Wrong usage, or a site file with errors."""
INTERRUPTED = 130
"""Stopped by ^C."""
