"""Which rules are asked for: by id, by group, or by the name of a Pod Security Standard."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from policies.rules import pod_security, pss_baseline
from policies.rules.catalogue import Catalogue

_HOST_PORT = "network/no-host-port"
_BOTH = (
    "workload/no-privileged",
    "workload/no-host-process",
    "workload/no-host-namespaces",
    "workload/apparmor",
    "workload/selinux",
    "workload/safe-sysctls",
    "workload/no-probe-host",
    _HOST_PORT,
)
"""Rules that baseline and restricted have in common."""

STANDARDS: dict[str, tuple[str, ...]] = {
    "pss-baseline": (*_BOTH, *(rule.id for rule in pss_baseline.RULES)),
    "pss-restricted": (*(rule.id for rule in pod_security.RULES), _HOST_PORT),
}
"""The Pod Security Standards, as rules."""


def names(catalogue: Catalogue) -> tuple[str, ...]:
    """All that may be asked for: standards, groups, ids."""
    return (*STANDARDS, *catalogue.groups, *(rule.id for rule in catalogue))


def select(catalogue: Catalogue, wanted: Collection[str]) -> Catalogue:
    """The rules of ``catalogue`` that ``wanted`` names; all of them where it names none.

    Raises ``LookupError`` with the first name that nothing has.
    """
    if not wanted:
        return catalogue
    known = names(catalogue)
    if strange := next((name for name in wanted if name not in known), None):
        raise LookupError(strange)
    ids = frozenset(_ids(catalogue, wanted))
    return Catalogue(
        tuple(rule for rule in (*catalogue.rules, *pss_baseline.RULES) if rule.id in ids),
        tuple(rule for rule in catalogue.stack_rules if rule.id in ids),
    )


def _ids(catalogue: Catalogue, wanted: Iterable[str]) -> Iterable[str]:
    for name in wanted:
        if name in STANDARDS:
            yield from STANDARDS[name]
        else:
            yield from (rule.id for rule in catalogue if name in (rule.id, rule.group))
