"""Taints of nodes: their form, whose they are, and where nothing would run any more. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from sitefile.problems import DataPath, Finding, Unfit

_FORM = re.compile(
    r"(?P<key>([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)"
    r"(=(?P<value>([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?))?:(?P<effect>NoSchedule|PreferNoSchedule|NoExecute)",
    re.ASCII,
)
_OF_KUBERNETES = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")


def _taint(value: str) -> str:
    found = _FORM.fullmatch(value)
    if found is None:
        raise Unfit(
            "this is no taint",
            "a key, a value and an effect: `key=value:NoSchedule`, `:PreferNoSchedule` or `:NoExecute`",
            "write it as `kubectl taint` takes it, such as `dedicated=vision:NoSchedule`",
        )
    if value.startswith(_OF_KUBERNETES):
        raise Unfit(
            "Kubernetes sets and removes this taint itself",
            "a taint of your own",
            "write it with a key of your own, such as `dedicated=vision:NoSchedule`",
        )
    return value


Taint = Annotated[str, AfterValidator(_taint), Field(examples=["dedicated=vision:NoSchedule"])]


def slot(taint: str) -> str:
    """What a node has once: `key:Effect`."""
    key, _, effect = taint.rpartition(":")
    return f"{key.partition('=')[0]}:{effect}"


def effective(*written: Sequence[str] | None) -> tuple[str, ...] | None:
    """The taints of one node from those of the site and of the host, which come last and win; None where neither says
    anything."""
    if all(taints is None for taints in written):
        return None
    return tuple({slot(taint): taint for taints in written for taint in taints or ()}.values())


def twice(taints: Sequence[str] | None, at: DataPath) -> Iterator[Finding]:
    """A node has one value for each key and effect."""
    seen: set[str] = set()
    for index, taint in enumerate(taints or ()):
        if slot(taint) in seen:
            yield Finding((*at, index), f"{slot(taint)} is there twice", "each key and effect once", "keep one of them")
        seen.add(slot(taint))


def keeps_pods_off(taint: str) -> bool:
    return not taint.endswith(":PreferNoSchedule")


def nowhere(by_host: Mapping[str, Sequence[str]], at: DataPath) -> Iterator[Finding]:
    """CoreDNS and what else a cluster needs tolerate no taint of a site."""
    if by_host and all(any(map(keeps_pods_off, taints)) for taints in by_host.values()):
        yield Finding(
            at,
            "every host has a taint that keeps pods off: CoreDNS, Flux and telemetry find no node",
            "one host without such a taint",
            "leave one host without, or write `PreferNoSchedule`",
        )
