"""The rules: pure functions from a resource's plain values to findings. Imports nothing of Pulumi.

What is exported here is what a company's own rules are made of, too.
"""

from policies.rules.catalogue import (
    CATALOGUE,
    GROUPS,
    RULES,
    STACK_RULES,
    Catalogue,
    evaluate,
    evaluate_stack,
    evaluate_together,
)
from policies.rules.kinds import Kind
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
from policies.rules.pods import Container, Pod, may_hold_pods
from policies.rules.rule import Entry, Reference, Rule, StackRule, each_container, each_pod
from policies.rules.subject import Subject
from policies.rules.waivers import Waiver

__all__ = [
    "CATALOGUE",
    "DEFAULT_REGISTRIES",
    "DEFAULT_SETTINGS",
    "GROUPS",
    "RULES",
    "STACK_RULES",
    "UNKNOWN",
    "Catalogue",
    "Container",
    "Entry",
    "Finding",
    "HiddenError",
    "Kind",
    "Pod",
    "Reference",
    "Resource",
    "Rule",
    "Settings",
    "StackRule",
    "Subject",
    "Violation",
    "Waiver",
    "each_container",
    "each_pod",
    "evaluate",
    "evaluate_stack",
    "evaluate_together",
    "may_hold_pods",
]
