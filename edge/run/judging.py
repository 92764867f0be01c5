"""The policies that judge a project: the program's rules with a company's own, and its settings.

Owns where they are taken from. Every way to judge asks here: `edge check`, its worker processes, and the pack that the
engine runs for `edge preview` and `edge up`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError
from policies import CONFIG_FILE, OWN_RULES, WAIVERS_FILE
from stacks.project import POLICY_FILE, policies_folder

if TYPE_CHECKING:
    from policies.company_waivers import CompanyWaivers
    from policies.rules import Catalogue, Settings, Waiver


@dataclass(frozen=True)
class Policies:
    """What a stack is judged by."""

    catalogue: Catalogue
    settings: Settings
    company: CompanyWaivers | None = None
    """What the company allows, where it has a file of it."""

    @property
    def waivers(self) -> tuple[Waiver, ...]:
        """What the company allows at sites."""
        return self.company.of_sites if self.company else ()


@functools.lru_cache(maxsize=8)
def policies_of(root: Path) -> Policies:
    """The policies of the project below ``root``.

    Raises ``FileError`` and ``OperationError`` (bad input) where a company's own cannot be used.
    """
    from policies import own
    from policies import settings as policy_settings

    folder = pack_folder(root)
    catalogue = own.catalogue_of(folder)
    try:
        settings = policy_settings.load(folder / CONFIG_FILE)
    except policy_settings.SettingsError as error:
        raise OperationError(
            str(error), ("correct the file; docs/policies.md lists the settings",), code=BAD_INPUT
        ) from None
    return Policies(catalogue, settings, _company_waivers(folder, catalogue))


def _company_waivers(folder: Path, catalogue: Catalogue) -> CompanyWaivers | None:
    if not (folder / WAIVERS_FILE).exists():
        return None
    from policies import company_waivers

    return company_waivers.load(folder, [rule.id for rule in catalogue])


def pack_folder(root: Path) -> Path:
    """The policy pack of the project. Raises ``OperationError`` (bad input) where it has half of one."""
    folder, mine = policies_folder(root), root / "policies"
    if folder != mine:
        for name in (OWN_RULES, CONFIG_FILE, WAIVERS_FILE):
            if (mine / name).exists():
                raise OperationError(
                    f"{mine / name} would not be used: {mine} is no policy pack without a {POLICY_FILE}.",
                    ("docs/policies.md shows its files; `edge init` writes them",),
                    code=BAD_INPUT,
                )
    return folder


def require_usable(root: Path) -> None:
    """Before an engine starts. Raises as ``policies_of`` does.

    The pack of this program is not read here: the engine's process does so, while the program starts.
    """
    if any((pack_folder(root) / name).is_file() for name in (OWN_RULES, WAIVERS_FILE)):
        policies_of(root)
