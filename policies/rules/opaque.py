"""Opaque: what a site installs and no rule can look into. It is a finding of its own, and never silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policies.rules.charts import FLUX_SOURCES, is_chart, not_judged, repository_problems
from policies.rules.embedded import may_hold_manifests
from policies.rules.frameworks import top_ten
from policies.rules.kinds import Kind
from policies.rules.model import UNKNOWN, Violation
from policies.rules.rule import Rule
from policies.rules.subject import Subject

_FROM_ELSEWHERE: Mapping[tuple[str, str], str] = {
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): "spec.mutations",
    ("addons.cluster.x-k8s.io", "HelmChartProxy"): "spec",
    ("apps.open-cluster-management.io", "Channel"): "spec",
    ("argoproj.io", "Application"): "spec",
    ("argoproj.io", "ApplicationSet"): "spec",
    ("config.projectsveltos.io", "ClusterProfile"): "spec.helmCharts spec.kustomizationRefs",
    ("config.projectsveltos.io", "Profile"): "spec.helmCharts spec.kustomizationRefs",
    ("fleet.cattle.io", "GitRepo"): "spec",
    ("fleet.cattle.io", "HelmOp"): "spec",
    ("gitops.kluctl.io", "KluctlDeployment"): "spec",
    ("k3s.cattle.io", "Addon"): "spec.source",
    ("kappctrl.k14s.io", "App"): "spec.fetch",
    ("mutations.gatekeeper.sh", "Assign"): "spec",
    ("mutations.gatekeeper.sh", "ModifySet"): "spec",
    ("operators.coreos.com", "Subscription"): "spec",
    ("packaging.carvel.dev", "PackageInstall"): "spec",
    ("pkg.crossplane.io", "Configuration"): "spec.package",
    ("pkg.crossplane.io", "Function"): "spec.package",
    ("pkg.crossplane.io", "Provider"): "spec.package",
}
"""Objects that install what is kept elsewhere or change what others install, and the fields that do so. Flux' own are
not among them: its sources are verified (`supply-chain/flux-source-verified`), and what they hold is judged as files.
"""

_FILES: Mapping[str, tuple[str, ...]] = {
    "yaml": ("files", "file", "objs", "yaml"),
    "kustomize": ("directory",),
}
"""Inputs of Pulumi's own resources that name files; in the first two that may hold objects, only what is hidden."""


def _opaque(subject: Subject) -> Iterator[Violation]:
    yield from subject.held.opaque
    if (chart := subject.chart) is not None:
        yield from not_judged(chart, subject.settings)
    kind = subject.kind
    fields = _FROM_ELSEWHERE.get((kind.group, kind.name))
    for path in fields.split() if fields else ():
        node = subject.get(*path.split("."))
        if node.present:
            yield Violation(node.path, "installs or changes what no rule sees")
    for name in _FILES.get(kind.group, ()):
        node = subject.get(name)
        if node.present and (node.value is UNKNOWN or name not in ("objs", "yaml")):
            yield Violation(node.path, "installs the objects of files or addresses, which no rule sees here")
    yield from _resolved(subject)


def _resolved(subject: Subject) -> Iterator[Violation]:
    """Tasks of a pipeline that a resolver fetches from elsewhere."""
    if subject.kind.group != "tekton.dev":
        return
    pending = [subject.root]
    while pending:
        node = pending.pop()
        if isinstance(node.value, dict):
            resolver = node.value.get("resolver")
            if resolver is not None and resolver != "cluster":
                yield Violation(node.get("resolver").path, "fetches a task from elsewhere, which no rule sees")
            pending += [child for _, child in node.entries()]
        elif isinstance(node.value, list):
            pending += node.each()


def _applies(kind: Kind) -> bool:
    return may_hold_manifests(kind) or (kind.group, kind.name) in _FROM_ELSEWHERE


def _chart_repository(subject: Subject) -> Iterator[Violation]:
    yield from repository_problems(subject.kind, subject.root, subject.settings)


def _has_repository(kind: Kind) -> bool:
    return is_chart(kind) or kind.is_a(FLUX_SOURCES, "HelmRepository")


RULES = (
    Rule(
        id="supply-chain/chart-repository",
        level="mandatory",
        severity="critical",
        title="Every chart comes from an allowed repository, over an encrypted connection.",
        why="A chart decides what runs with which rights: whoever answers for its repository is root at the site.",
        remedy="Use `https://` or `oci://` and an allowed registry, or add the repository to `more_registries` in the "
        "pack's configuration.",
        url="https://helm.sh/docs/topics/registries/",
        applies=_has_repository,
        check=_chart_repository,
        about="Helm Release and Chart, HelmRepository, K3s HelmChart",
        references=top_ten("K02"),
    ),
    Rule(
        id="supply-chain/opaque",
        level="mandatory",
        severity="critical",
        title="Everything that a site installs can be judged.",
        why="What no rule can look into may be privileged, come from anywhere and hold a password, and nobody would "
        "be told.",
        remedy="Write the objects out as resources of their own, or as YAML that is complete without its template. For "
        "a chart, run `edge check --charts` where helm and the network are, and commit `policies/charts.json`.",
        url="https://kubernetes.io/docs/concepts/security/pod-security-standards/",
        applies=_applies,
        check=_opaque,
        about="custom resources, charts, files of manifests, ConfigMap, Secret",
        references=top_ten("K04"),
    ),
)
