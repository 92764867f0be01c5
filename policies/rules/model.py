"""The values that rules take and return: resource, settings, violation, finding, and ``UNKNOWN``.

Imports nothing of Pulumi, so that the same rules judge a CrossGuard preview, an in-process recording and a rendered
manifest. Holds no rule, and does not know where a resource came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from policies.rules.chart_records import Records

Level = Literal["mandatory", "advisory", "waived"]
"""`waived`: mandatory, and not counted, because the site has a waiver."""
Group = Literal["workload", "network", "supply-chain", "secrets", "cluster", "host", "site", "aws", "azure"]
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
    "helm.linkerd.io",
    "mcr.microsoft.com",
    "nvcr.io/nvidia",
    "nvidia.github.io/k8s-device-plugin",
    "public.ecr.aws/eks",
    "quay.io/jetstack",
    "registry.k8s.io",
)
"""Where images and charts may come from unless the fleet says otherwise: the upstreams of what a site runs. A registry,
or a registry with a path below which everything is allowed."""


NEWEST_KUBERNETES: Final = 37
"""The newest minor of Kubernetes 1 whose reading of the Pod Security Standards the rules know."""


@dataclass(frozen=True)
class Settings:
    """What a fleet may decide about the rules. The defaults are strict."""

    registries: tuple[str, ...] = DEFAULT_REGISTRIES
    """Registries, or registry paths, that images and charts may come from."""

    mesh_key_hours: int = 24
    """Longest life of a mesh key, in hours."""

    kubernetes: int = NEWEST_KUBERNETES
    """Minor version of the cluster's Kubernetes. A stack that has the cluster says so itself."""

    charts: Records = field(default_factory=Records)
    """What is known of Helm charts."""

    aws_regions: tuple[str, ...] = ()
    """AWS regions that may be used; all of them when empty."""

    azure_locations: tuple[str, ...] = ()
    """Azure regions that may be used; all of them when empty."""

    required_tags: tuple[str, ...] = ("edge-site",)
    """Tags that every taggable cloud resource has."""

    arc_private_link: bool = False
    """Whether a cluster's connection to Azure has to go through a private link scope."""

    arc_entra_id: bool = False
    """Whether a cluster that is connected to Azure has to name its administrators in Entra ID."""


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
    """URN of the parent; empty where it has none."""

    provider: str = ""
    """URN of the provider that manages it, which tells clusters apart; empty where there is none."""

    additional_secret_outputs: tuple[str, ...] = ()
    """Outputs that the resource's options mark as secret."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What a component has registered in the end, or what a deployed resource has; empty where nothing of it is known.
    Only stack rules see it, and only in CrossGuard."""

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


def hidden(error: HiddenError) -> Violation:
    """What a rule says of a property that it must see and cannot."""
    return Violation(error.path, f"cannot be judged: it {error.reason}", hidden=True)


@dataclass(frozen=True)
class Finding:
    """A violation as it is reported."""

    rule: str
    level: Level
    urn: str
    message: str
    path: str
    remedy: str
    fault: bool = False
    """True where the rule itself failed, so that nothing is known."""
    waiver: str = ""
    """Of a waived finding: until when, by whom and why."""
    resource: str = field(default="", compare=False)
    """Name of the resource. This and what follows is what a waiver may be bound to."""
    workload: str = field(default="", compare=False)
    """`namespace/Kind/name` of a Kubernetes object; empty for anything else."""
    images: tuple[str, ...] = field(default=(), compare=False)
    """The image of the container that it is about; of a finding about a whole pod, all its images."""

    @property
    def group(self) -> str:
        return self.rule.partition("/")[0]
