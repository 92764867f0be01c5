"""Which Kubernetes a stack's cluster runs, for rules that follow its reading of a standard."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from policies.rules.kinds import kind_of
from policies.rules.model import Resource, Settings

_RELEASE = re.compile(r"v?1\.(\d{1,3})(?:\D.*)?")


def minor(release: object) -> int | None:
    """The minor version of a release such as `1.36` or `v1.36.3+k3s1`; None for anything else."""
    found = _RELEASE.fullmatch(release) if isinstance(release, str) else None
    return int(found[1]) if found else None


def runs(token: str) -> bool:
    """Whether a resource of this type says which Kubernetes its cluster runs."""
    kind = kind_of(token)
    return kind.is_part("K3s") or (kind.provider == "aws" and kind.name == "Cluster" and kind.group.startswith("eks"))


def minor_of(resource: Resource) -> int | None:
    """What ``resource`` says of its cluster's Kubernetes."""
    if not runs(resource.type):
        return None
    return minor(resource.props.get("kubernetes" if kind_of(resource.type).is_part("K3s") else "version"))


def in_stack(settings: Settings, minors: Iterable[int]) -> Settings:
    """``settings`` for a stack with clusters of these minors: the oldest one's reading holds for all of them."""
    oldest = min(minors, default=None)
    return settings if oldest is None else replace(settings, kubernetes=oldest)


def stack_settings(settings: Settings, resources: Iterable[Resource]) -> Settings:
    """``settings`` for a stack with these resources."""
    return in_stack(settings, (found for resource in resources if (found := minor_of(resource)) is not None))
