"""The words of the catalogue: resource, rule, violation, finding, and the value that is not known yet.

Imports nothing of Pulumi, so that the same rules judge a CrossGuard preview, an in-process recording and a rendered
manifest. Holds no rule, and does not know where a resource came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from policies.rules.kinds import Kind
    from policies.rules.subject import Subject

Level = Literal["mandatory", "advisory"]
Group = Literal["workload", "network", "supply-chain", "secrets"]
Severity = Literal["low", "medium", "high", "critical"]


class Unknown:
    """Type of ``UNKNOWN``. It has no truth value: a rule that tests it by accident fails instead of passing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("an unknown value is neither true nor false")


UNKNOWN: Final = Unknown()
"""A value that only exists after deployment, as a preview shows it."""

DEFAULT_REGISTRIES: Final = (
    "cr.l5d.io/linkerd",
    "docker.io/curlimages",
    "docker.io/istio",
    "docker.io/ollama",
    "docker.io/otel",
    "docker.io/rancher",
    "ghcr.io/controlplaneio-fluxcd",
    "ghcr.io/fluxcd",
    "ghcr.io/open-telemetry",
    "mcr.microsoft.com",
    "nvcr.io/nvidia",
    "public.ecr.aws/eks",
    "quay.io/jetstack",
    "registry.k8s.io",
)
"""Where images may come from unless the fleet says otherwise: the upstreams of what a site runs. A registry, or a
registry with a path below which everything is allowed."""


@dataclass(frozen=True)
class Settings:
    """What a fleet may decide about the rules. The defaults are strict."""

    registries: tuple[str, ...] = DEFAULT_REGISTRIES
    """Registries, or registry paths, that images may come from."""

    mesh_key_hours: int = 24
    """Longest life of a mesh key, in hours."""


DEFAULT_SETTINGS: Final = Settings()


@dataclass(frozen=True)
class Resource:
    """A resource as the rules see it: plain values, ``UNKNOWN`` where a preview cannot know."""

    type: str
    """Type token, such as ``kubernetes:apps/v1:Deployment``."""

    name: str
    urn: str
    props: Mapping[str, Any]
    """Inputs: None, bool, int, float, str, list, dict and ``UNKNOWN``; secrets are unwrapped."""

    parent: str = ""
    """URN of the parent, or nothing."""

    additional_secret_outputs: tuple[str, ...] = ()
    """Outputs that the resource's options mark as secret."""

    secret_paths: frozenset[str] | None = None
    """Property paths that are marked as secret; None where the source cannot tell."""


class HiddenError(Exception):
    """The property that a rule must see is hidden. Carries where and why; the rule's finding says so."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class Violation:
    """One place where a rule is broken. ``message`` names properties and never quotes a value."""

    path: str
    message: str
    hidden: bool = False
    """True when nothing was seen to be wrong, but what must be seen could not be."""


@dataclass(frozen=True)
class Finding:
    """A violation as it is reported."""

    rule: str
    level: Level
    urn: str
    message: str
    path: str
    remedy: str

    @property
    def group(self) -> str:
        return self.rule.partition("/")[0]


Check = Callable[["Subject"], Iterable[Violation]]


@dataclass(frozen=True, eq=False)
class Rule:
    """One entry of the catalogue."""

    id: str
    """``<group>/<name>``; frozen from the first release."""

    level: Level
    severity: Severity
    title: str
    """What holds when the rule is kept, in one sentence."""

    why: str
    """What goes wrong otherwise."""

    remedy: str
    """What to do about a finding."""

    url: str
    applies: Callable[[Kind], bool] = field(repr=False)
    check: Check = field(repr=False)
    about: str = "workloads"
    """The kinds of resource that it judges, in words."""

    unknown: Literal["fails", "warns"] = "fails"
    """What a hidden property means: a finding at the rule's own level, or an advisory one. The latter is for rules
    whose subject is judged again, with everything known, before anything is created."""

    @property
    def group(self) -> str:
        return self.id.partition("/")[0]
