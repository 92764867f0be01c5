"""Supply chain: everything that runs at a site is pinned, verified and from an allowed source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from policies.rules import flux_sources
from policies.rules.downloads import unchecked_downloads
from policies.rules.flux_sources import OPERATOR, SOURCES
from policies.rules.frameworks import cis_kubernetes, top_ten
from policies.rules.images import is_allowed, parse_image
from policies.rules.kinds import Kind
from policies.rules.model import UNKNOWN, HiddenError, Violation
from policies.rules.pods import may_hold_pods
from policies.rules.rule import Check, Rule, attempt, hidden
from policies.rules.subject import Subject
from policies.rules.tree import Node

_RELEASES = "helm.toolkit.fluxcd.io"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_EXACT = re.compile(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")

_SCRIPTS = ("create", "update", "delete")


def _each_image(check: Callable[[Subject, Node, str], Iterator[Violation]]) -> Check:
    """A check of every image: of containers, mounted as a volume, or named alone in a custom resource."""

    def over(subject: Subject) -> Iterator[Violation]:
        for image in subject.each_image():
            if isinstance(image, HiddenError):
                yield hidden(image)
            else:
                yield from attempt(judge(subject, image))

    def judge(subject: Subject, image: Node) -> Iterator[Violation]:
        yield from check(subject, image, image.text() or "")

    return over


def _image_digest(_: Subject, node: Node, reference: str) -> Iterator[Violation]:
    if not parse_image(reference).pinned:
        yield Violation(node.path, "has no sha256 digest")


def _registry_allowlist(subject: Subject, node: Node, reference: str) -> Iterator[Violation]:
    if not is_allowed(parse_image(reference).repository, subject.settings.registries):
        yield Violation(node.path, "comes from a registry, or a part of one, that is not allowed")


def _no_latest(_: Subject, node: Node, reference: str) -> Iterator[Violation]:
    image = parse_image(reference)
    if image.tag == "latest" or (not image.tag and not image.digest):
        yield Violation(node.path, "is not pinned: the host pulls whatever is newest at that time")


def _chart_version_pinned(subject: Subject) -> Iterator[Violation]:
    kind = subject.kind
    if kind.is_a(_RELEASES, "HelmRelease"):
        spec = subject.get("spec")
        if not spec.get("chartRef").present and (spec.get("chart").present or not kind.patch):
            yield from _exact(spec.get("chart", "spec", "version"), kind.patch)
    elif kind.is_a(SOURCES, "HelmChart") or kind.is_a("helm.cattle.io", "HelmChart"):
        yield from _exact(subject.get("spec", "version"), kind.patch)
    elif kind.is_a(OPERATOR, "FluxInstance"):
        yield from _exact(subject.get("spec", "distribution", "version"), kind.patch)
    else:
        chart = subject.get("chart").text() or ""
        in_the_project = chart.startswith((".", "/")) or subject.root.peek("path") is not None
        if not in_the_project and "@sha256:" not in chart:
            yield from _exact(subject.get("version"), False)
        if subject.get("devel").flag():
            yield Violation(subject.get("devel").path, "is true: the newest development version is installed")


def _exact(version: Node, may_be_absent: bool) -> Iterator[Violation]:
    text = version.text()
    if text is None and may_be_absent:
        return
    if text is None or _EXACT.fullmatch(text) is None:
        yield Violation(version.path, "is not set" if text is None else "is a range, not an exact version")


def _host_binary_checksum(subject: Subject) -> Iterator[Violation]:
    if subject.kind.command:
        for name in _SCRIPTS:
            yield from attempt(_downloads(subject.get(name)))
        return
    sums = subject.get("sha256")
    leaves = list(_leaves(sums))
    if not leaves:
        yield Violation(sums.path, "is not set: the hosts would install whatever the mirror sends")
    leaves += _leaves(subject.get("images_sha256"))
    for leaf in leaves:
        if _SHA256.fullmatch(leaf.text() or "") is None:
            yield Violation(leaf.path, "is not a SHA-256")


def _downloads(script: Node) -> Iterator[Violation]:
    for download in unchecked_downloads(script.text() or ""):
        yield Violation(script.path, f"downloads in line {download.line} something that {download.why}")


def _leaves(node: Node) -> Iterator[Node]:
    """The values of checksums however they are keyed: by architecture, by release and architecture, or not at all."""
    if isinstance(node.value, dict):
        for _, child in node.entries():
            yield from _leaves(child)
    elif isinstance(node.value, list):
        for child in node.each():
            yield from _leaves(child)
    elif node.present or node.value is UNKNOWN:
        yield node


def _is_chart(kind: Kind) -> bool:
    return (
        kind.is_a("helm.sh", "Release", "Chart")
        or kind.is_a(_RELEASES, "HelmRelease")
        or kind.is_a(SOURCES, "HelmChart")
        or kind.is_a("helm.cattle.io", "HelmChart")
        or kind.is_a(OPERATOR, "FluxInstance")
    )


def _installs_on_hosts(kind: Kind) -> bool:
    return (kind.command and kind.name == "Command") or kind.is_part("K3s", "Tailscale")


RULES = (
    Rule(
        id="supply-chain/image-digest",
        level="mandatory",
        severity="high",
        title="Every image is named by its digest.",
        why="A tag can be moved to another image by its owner, or by anyone who has the owner's password.",
        remedy="Append `@sha256:<digest>` to the image; `crane digest IMAGE` prints it.",
        url="https://kubernetes.io/docs/concepts/containers/images/#image-names",
        applies=may_hold_pods,
        check=_each_image(_image_digest),
        references=top_ten("K02"),
    ),
    Rule(
        id="supply-chain/registry-allowlist",
        level="mandatory",
        severity="high",
        title="Every image comes from an allowed registry.",
        why="Anyone can publish an image under a plausible name in a public registry.",
        remedy="Use an image of an allowed registry, or add the registry to `registries` in the pack's configuration.",
        url="https://kubernetes.io/docs/concepts/security/cloud-native-security/",
        applies=may_hold_pods,
        check=_each_image(_registry_allowlist),
        references=(*cis_kubernetes("5.5.1"), *top_ten("K02")),
    ),
    Rule(
        id="supply-chain/no-latest",
        level="mandatory",
        severity="medium",
        title="No image is `latest`.",
        why="Two hosts of one site could run different programs, and nobody could tell which.",
        remedy="Name the version that was tested.",
        url="https://kubernetes.io/docs/concepts/containers/images/#updating-images",
        applies=may_hold_pods,
        check=_each_image(_no_latest),
        references=top_ten("K02"),
    ),
    *flux_sources.RULES,
    Rule(
        id="supply-chain/chart-version-pinned",
        level="mandatory",
        severity="high",
        title="Every chart has an exact version.",
        why="With a range the same program installs something else tomorrow, and nobody reviewed it.",
        remedy="Set `version` to one exact version.",
        url="https://helm.sh/docs/chart_best_practices/dependencies/#versions",
        applies=_is_chart,
        check=_chart_version_pinned,
        about="Helm Release and Chart, HelmRelease, HelmChart, FluxInstance",
        references=top_ten("K02"),
    ),
    Rule(
        id="supply-chain/host-binary-checksum",
        level="mandatory",
        severity="critical",
        title="Every download to a host is compared with a pinned SHA-256.",
        why="Downloads run as root: an attacker with a mirror, a proxy or a release page would control the machine.",
        remedy="Give the component the `sha256` of each architecture; in a script, run `sha256sum -c` on it before "
        "it is used, and never pipe a download into a shell.",
        url="https://docs.k3s.io/security",
        applies=_installs_on_hosts,
        check=_host_binary_checksum,
        about="command:remote:Command, edge:index:K3s, edge:index:Tailscale",
        references=top_ten("K02"),
    ),
)
