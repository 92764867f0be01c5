"""Helm charts: which chart a resource installs, where it may come from, and what its record says.

Renders nothing: a chart is judged where it can be fetched (``policies.charts``), and the verdict is kept by a digest of
the chart's name, version and values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policies.rules.chart_records import Review, Verdict
from policies.rules.images import is_allowed
from policies.rules.kinds import Kind
from policies.rules.manifest_text import parsed
from policies.rules.model import UNKNOWN, HiddenError, Settings, Violation
from policies.rules.patterns import credential_in, is_sensitive_key
from policies.rules.tree import Node

FLUX_RELEASES = "helm.toolkit.fluxcd.io"
FLUX_SOURCES = "source.toolkit.fluxcd.io"
K3S_CHARTS = "helm.cattle.io"
SECRET = "(secret)"
"""What stands for a credential among the values: the real one decides nothing about what is installed."""

_UNSEEN = ("valueYamlFiles", "postrender", "postRenderer", "spec.valuesSecrets", "spec.chartContent")
"""Inputs that change what a chart renders to, and that are kept elsewhere."""

_UNENCRYPTED = (
    "repositoryOpts.plainHttp",
    "repositoryOpts.insecureSkipVerify",
    "plainHttp",
    "spec.plainHTTP",
    "spec.insecureSkipTLSVerify",
    "spec.insecure",
)


@dataclass(frozen=True)
class Chart:
    """A chart as a resource installs it."""

    name: str
    repository: str
    """An address; `HelmRepository/NAMESPACE/NAME` for a source of Flux; empty where the name says where it is."""

    version: str
    release: str
    namespace: str
    values: Any
    """Without credentials."""

    unseen: str = ""
    """Path of an input that nobody can see."""

    @property
    def key(self) -> str:
        """Under which its verdict is recorded. Pulumi may make up the name of a release: it is no part of the key."""
        said = [self.name, self.repository, self.version, self.namespace, self.values]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @property
    def local(self) -> bool:
        """Whether it is a folder or file of the project."""
        return not self.repository and self.name.startswith((".", "/"))

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


def is_chart(kind: Kind) -> bool:
    """Whether an object of this kind installs a chart."""
    return (
        kind.is_a("helm.sh", "Release", "Chart")
        or kind.is_a(FLUX_RELEASES, "HelmRelease")
        or kind.is_a(K3S_CHARTS, "HelmChart")
    )


def chart_of(kind: Kind, root: Node) -> Chart | None:
    """The chart that an object installs; None where it installs none by itself. Raises ``HiddenError``."""
    if not is_chart(kind):
        return None
    unseen = next((path for path in _UNSEEN if root.peek(*path.split(".")) not in (None, [], "")), "")
    if kind.is_a(FLUX_RELEASES, "HelmRelease"):
        return _of_flux(root, unseen, patch=kind.patch)
    if kind.is_a(K3S_CHARTS, "HelmChart"):
        spec = root.get("spec")
        if kind.patch and not spec.get("chart").present:
            return None
        values = parsed(spec.get("valuesContent").text() or "", "{{")
        return Chart(
            name=spec.get("chart").text() or "",
            repository=spec.get("repo").text() or "",
            version=spec.get("version").text() or "",
            release=root.get("metadata", "name").text() or "",
            namespace=spec.get("targetNamespace").text() or root.get("metadata", "namespace").text() or "default",
            values={"values": list(values.documents), "set": _plain(spec.get("set"))},
            unseen=unseen,
        )
    if not root.get("chart").present:
        # Pulumi's first Chart has no inputs: each of its objects is a resource of its own.
        return None
    return Chart(
        name=root.get("chart").text() or "",
        repository=root.get("repositoryOpts", "repo").text() or "",
        version=root.get("version").text() or "",
        release=root.get("name").text() or "",
        namespace=root.get("namespace").text() or "default",
        values=_plain(root.get("values")),
        unseen=unseen,
    )


def _of_flux(root: Node, unseen: str, *, patch: bool) -> Chart | None:
    spec, namespace = root.get("spec"), root.get("metadata", "namespace").text() or "default"
    chart, reference = spec.get("chart", "spec"), spec.get("chartRef")
    if patch and not chart.present and not reference.present:
        return None
    source = reference if reference.present else chart.get("sourceRef")
    place = (source.get("kind").text(), source.get("namespace").text() or namespace, source.get("name").text())
    return Chart(
        name=chart.get("chart").text() or "",
        repository="/".join(part or "" for part in place),
        version=chart.get("version").text() or "",
        release=spec.get("releaseName").text() or root.get("metadata", "name").text() or "",
        namespace=spec.get("targetNamespace").text() or namespace,
        values=_plain(spec.get("values")),
        unseen=unseen or next(_hidden_values(spec), ""),
    )


def _hidden_values(spec: Node) -> Iterator[str]:
    """Values from other objects, but for single ones that are credentials."""
    for node in spec.get("valuesFrom").each():
        target = node.get("targetPath").text() or ""
        if not is_sensitive_key(target.rpartition(".")[2]):
            yield node.path


def _plain(node: Node) -> Any:
    """Values as every source of them gives them: whole numbers as such, nothing absent, no credential."""
    value = node.value
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in node.entries() if child.value is not None}
    if isinstance(value, list):
        return [_plain(child) for child in node.each()]
    sensitive = is_sensitive_key(node.key)
    if value is UNKNOWN and not sensitive:
        raise HiddenError(node.path, "is not known before deployment")
    if isinstance(value, str):
        return SECRET if sensitive or credential_in(value) is not None else value
    if value is UNKNOWN:
        return SECRET
    return int(value) if isinstance(value, float) and value.is_integer() else value


def verdict_of(chart: Chart, settings: Settings) -> Verdict | None:
    """The recorded verdict; none where something about the chart cannot be seen."""
    return None if chart.unseen else settings.charts.verdicts.get(chart.key)


def review_of(chart: Chart, settings: Settings) -> Review | None:
    """Who answers for the chart, and why."""
    return settings.charts.review(chart.name, chart.version)


def not_judged(chart: Chart, settings: Settings) -> Iterator[Violation]:
    """A violation where nothing is known of what the chart renders to."""
    if chart.unseen:
        yield Violation(chart.unseen, "changes what the chart renders to, and is kept where no rule sees it")
    elif verdict_of(chart, settings) is None and review_of(chart, settings) is None:
        yield Violation("chart", "has no record of what it renders to with these values, so nobody has judged it")


def by_record(chart: Chart, settings: Settings) -> str:
    """How a chart was judged that this run has not rendered, in words; empty where it was not."""
    verdict, review = verdict_of(chart, settings), review_of(chart, settings)
    if verdict is not None:
        return f"chart {chart}: not rendered in this run; judged by its record of {verdict.recorded} ({verdict.digest})"
    if review is not None:
        return f"chart {chart}: not rendered; {review.owner} answers for it since {review.reviewed}: {review.reason}"
    return ""


def repository_problems(kind: Kind, root: Node, settings: Settings) -> Iterator[Violation]:
    """What is wrong with the place that a chart comes from."""
    for path in _UNENCRYPTED:
        node = root
        for key in path.split("."):
            node = node.get(key) if isinstance(node.value, dict) else Node(None)
        if node.present and node.flag():
            yield Violation(node.path, "is true: nobody knows who answers")
    for node in _addresses(kind, root):
        address = node.text() or ""
        scheme, separator, rest = address.partition("://")
        if not separator:
            continue
        if scheme not in ("https", "oci"):
            yield Violation(node.path, "is an address without encryption: anyone on the way decides what is installed")
        elif "@" in rest.split("/")[0]:
            yield Violation(node.path, "holds a name or password")
        elif not is_allowed(rest, settings.registries):
            yield Violation(node.path, "is not in a registry or repository that is allowed")


def _addresses(kind: Kind, root: Node) -> Iterator[Node]:
    if kind.is_a(FLUX_SOURCES, "HelmRepository"):
        yield root.get("spec", "url")
    elif kind.is_a(K3S_CHARTS, "HelmChart"):
        yield root.get("spec", "repo")
        yield root.get("spec", "chart")
    elif kind.group == "helm.sh":
        yield root.get("repositoryOpts", "repo")
        yield root.get("chart")
