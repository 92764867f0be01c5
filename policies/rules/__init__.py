"""The rules: pure functions from a resource's plain values to findings. Imports nothing of Pulumi."""

from policies.rules.catalogue import GROUPS, RULES, evaluate, evaluate_stack
from policies.rules.model import (
    DEFAULT_REGISTRIES,
    DEFAULT_SETTINGS,
    UNKNOWN,
    Finding,
    HiddenError,
    Resource,
    Rule,
    Settings,
    Violation,
)

__all__ = [
    "DEFAULT_REGISTRIES",
    "DEFAULT_SETTINGS",
    "GROUPS",
    "RULES",
    "UNKNOWN",
    "Finding",
    "HiddenError",
    "Resource",
    "Rule",
    "Settings",
    "Violation",
    "evaluate",
    "evaluate_stack",
]
