"""``stacks/fleet.yaml``, read and checked. Tailnet and account have it once; no site is in it."""

from __future__ import annotations

from pathlib import Path

from sitefile.checked_file import CheckedFile, FileChecker
from sitefile.layers import Layers
from sitefile.problems import FileError
from stacks.fleet.spec import FleetSpec
from stacks.plain_secrets import advice
from stacks.project import fleet_file

STACK = "fleet"
"""Name of the stack; no site may be called so."""


def load_fleet(root: Path) -> FleetSpec:
    """``stacks/fleet.yaml``. Raises ``FileError`` with all problems of the file."""
    found = _checked(root)
    if found.model is None:
        raise FileError(found.problems)
    return found.model


def fleet_if_sound(root: Path) -> FleetSpec | None:
    """The same for checks of other files: what is wrong in this one is said at this one."""
    return _checked(root).model if fleet_file(root).is_file() else None


def _checked(root: Path) -> CheckedFile[FleetSpec]:
    return FileChecker(FleetSpec, Layers(), root, advice=advice).check(fleet_file(root))
