"""Exit codes of `edge`.

Of several sites, the largest code wins in `check` and `drift`, which look at files and hosts. What runs something at
several sites ends with 1 where any of them failed, whatever the reason: there, 2 means that nothing was selected.
"""

from __future__ import annotations

DONE = 0
FAILED = 1
"""An operation failed, or a policy refused it."""
BAD_INPUT = 2
"""Wrong usage, or a site file with errors."""
INTERRUPTED = 130
"""Stopped by ^C."""
