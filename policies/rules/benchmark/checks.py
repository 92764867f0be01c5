"""The whole benchmark, in its order, and what of it a node has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from policies.rules.benchmark.files import FILES, OTHERS
from policies.rules.benchmark.flags import FLAGS
from policies.rules.benchmark.model import Check, Datastore, FlagCheck

NAME = "CIS K3s"
"""Of the profile in frameworks."""

_VERSION = re.compile(r"v?1\.(\d+)")


def _number(check: Check) -> tuple[int, ...]:
    return tuple(int(part) for part in check.id.split("."))


CHECKS: tuple[Check, ...] = tuple(sorted((*FLAGS, *FILES, *OTHERS), key=_number))


def minor_of(version: str) -> int:
    """The minor version of Kubernetes of a release; that of the newest one where it is not one that we know."""
    found = _VERSION.match(version)
    return int(found[1]) if found else 99


def flag_checks(minor: int, datastore: Datastore, flags: Mapping[str, object]) -> Iterator[FlagCheck]:
    """The checks of flags that concern a node of this release with these processes."""
    for check in FLAGS:
        # Without encryption there is no provider either, which is a fault of a server.
        process = "kube-apiserver" if check.process == "secrets-encryption" else check.process
        if check.since <= minor and datastore in check.datastore and process in flags:
            yield check
