"""What each module and class of the Pulumi SDK holds, to show that nothing of it was patched."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

Attributes = dict[tuple[str, str], Any]


def sdk_attributes() -> Attributes:
    """Every attribute of the SDK's modules that are imported, and of the classes defined in them."""
    found: Attributes = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and (name == "pulumi" or name.startswith(("pulumi.", "pulumi_policy"))):
            for attribute, value in list(vars(module).items()):
                found[name, attribute] = value
                if isinstance(value, type) and value.__module__ == name:
                    own = {f"{attribute}.{member}": held for member, held in vars(value).items()}
                    found |= {(name, member): held for member, held in own.items()}
    return found


def changed(before: Attributes, after: Attributes) -> list[tuple[str, str]]:
    """Which attributes hold another object now, or are gone. What was imported since then does not count."""
    return [key for key, value in before.items() if key not in after or after[key] is not value]
