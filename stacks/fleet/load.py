"""``stacks/fleet.yaml`` -> the program of the stack ``fleet``. Tailnet and account have it once; no site is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sitefile.checked_file import FileChecker
from sitefile.layers import Layers
from sitefile.problems import FileError
from stacks.fleet.spec import FleetSpec
from stacks.loader import load_all
from stacks.plain_secrets import advice
from stacks.project import fleet_file

if TYPE_CHECKING:
    from stacks.fleet.component import Fleet

STACK = "fleet"
"""Name of the stack; no site may be called so."""


def load_fleet(root: Path) -> FleetSpec:
    """``stacks/fleet.yaml``. Raises ``FileError`` with all problems of the file."""
    checked = FileChecker(FleetSpec, Layers(), root, advice=advice).check(fleet_file(root))
    if checked.model is None:
        raise FileError(checked.problems)
    return checked.model


def build(root: Path) -> Fleet:
    """The program of the stack ``fleet``.

    Raises ``FileError`` if any site is wrong: rules made from half of the sites would lock the others out.
    """
    from stacks.fleet.component import Fleet, FleetArgs

    spec = load_fleet(root)
    sites, problems = load_all(root)
    if problems:
        raise FileError(problems)
    return Fleet(STACK, FleetArgs(spec, sites))
