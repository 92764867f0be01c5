"""What is known of Helm charts: verdicts on rendered ones, and reviews of those that no rule has judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple


class RecordedFinding(NamedTuple):
    """A violation in what a chart renders to."""

    rule: str
    path: str
    """Kind and name of the object, and the property."""

    message: str


@dataclass(frozen=True)
class Verdict:
    """What the rules said of a chart with certain values, when it was rendered."""

    chart: str
    repository: str
    version: str
    digest: str
    """SHA-256 of the chart's archive, as `sha256:...`."""

    recorded: str
    """The day (UTC), as YYYY-MM-DD."""

    kubernetes: tuple[str, ...]
    """Minor versions that it was rendered for; the verdict is that of all of them together."""

    objects: int
    images: tuple[str, ...]
    """Every image. They are judged again each time, by the registries that are allowed then."""

    rules: frozenset[str]
    """Ids of the rules that judged it."""

    findings: tuple[RecordedFinding, ...] = ()


@dataclass(frozen=True)
class Review:
    """A chart at one version that somebody answers for: no rule has to have judged it."""

    chart: str
    """Its name, without a repository: mirrors have the same chart."""

    version: str
    reason: str
    owner: str
    reviewed: str
    """The day, as YYYY-MM-DD."""

    digest: str = ""
    """SHA-256 of the archive; empty where it was never fetched."""


def _own(chart: str, version: str, what: str) -> Review:
    return Review(
        chart,
        version,
        f"{what}. A part of this program. Its chart could not be fetched where this program is made, so that no rule "
        "has judged what it renders to; its version is exact and its repository allowed",
        "the program",
        "2026-11-26",
    )


DEFAULT_REVIEWS: Final = (
    _own("azure-arc-k8sagents", "1.33.0", "Azure Arc's agents, from Microsoft's registry"),
    _own("flux-operator", "0.59.0", "The operator that installs Flux, from its vendor's registry"),
    _own(
        "nvidia-device-plugin",
        "0.20.0",
        "NVIDIA's device plugin, which needs the host's devices, and SYS_ADMIN where MIG has cut a GPU",
    ),
)
"""The charts of this program's own parts, at the releases that it comes with."""


@dataclass(frozen=True)
class Records:
    """All that is known of charts."""

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    """By the key of a chart with its values."""

    reviews: tuple[Review, ...] = DEFAULT_REVIEWS

    def review(self, chart: str, version: str) -> Review | None:
        name = chart.rstrip("/").rpartition("/")[2].partition("@")[0].partition(":")[0]
        return next((one for one in self.reviews if (one.chart, one.version) == (name, version)), None)
