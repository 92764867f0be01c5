"""The rules: pure functions from a resource's plain values to findings. Imports nothing of Pulumi."""

from policies.rules.catalogue import CATALOGUE, GROUPS, RULES, STACK_RULES, evaluate, evaluate_stack, evaluate_together
from policies.rules.model import (
    DEFAULT_REGISTRIES,
    DEFAULT_SETTINGS,
    UNKNOWN,
    Finding,
    HiddenError,
    Resource,
    Settings,
    Violation,
)
from policies.rules.rule import Entry, Rule, StackRule
from policies.rules.waivers import Waiver

__all__ = [
    "CATALOGUE",
    "DEFAULT_REGISTRIES",
    "DEFAULT_SETTINGS",
    "GROUPS",
    "RULES",
    "STACK_RULES",
    "UNKNOWN",
    "Entry",
    "Finding",
    "HiddenError",
    "Resource",
    "Rule",
    "Settings",
    "StackRule",
    "Violation",
    "Waiver",
    "evaluate",
    "evaluate_stack",
    "evaluate_together",
]
