"""What every kind of registration answers, whichever the site chose. The resources are in ``arc`` and ``outposts``."""

from __future__ import annotations

from components.registration.spec import required_secrets

__all__ = ["required_secrets"]
