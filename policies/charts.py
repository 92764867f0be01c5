"""Renders Helm charts by the real `helm`, judges the objects, and keeps the verdicts in `charts.json`, by the settings.

The rules never render: `edge check` and the policy pack use what is recorded. A verdict is that of all Kubernetes
minors that the program knows. A chart whose archive is another one under the same version is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from policies.manifests import of_documents
from policies.rules import CATALOGUE, Catalogue, HiddenError, Resource, Settings, evaluate_stack
from policies.rules.chart_records import DEFAULT_REVIEWS, RecordedFinding, Records, Review, Verdict
from policies.rules.charts import FLUX_SOURCES, Chart, by_record, chart_of
from policies.rules.kinds import kind_of
from policies.rules.model import NEWEST_KUBERNETES
from policies.rules.subject import subjects

FILE = "charts.json"
_MINORS = range(34, NEWEST_KUBERNETES + 1)
MINORS = tuple(f"1.{minor}" for minor in _MINORS)
"""Versions of Kubernetes for which a chart is rendered and judged."""

_TIMEOUT_S = 120
_LIVE = frozenset(("supply-chain/image-digest", "supply-chain/no-latest", "supply-chain/registry-allowlist"))
"""Rules that judge the recorded images each time, and need no recorded findings."""


class ChartError(Exception):
    """A chart cannot be rendered, or the record cannot be used. The message says why."""


@dataclass(frozen=True)
class Renewal:
    """What a renewal did."""

    records: Records
    rendered: tuple[str, ...]
    """Charts with a new verdict, in words."""

    problems: tuple[str, ...]
    """Charts that could not be rendered, and why."""


def load(file: Path) -> Records:
    """The records in ``file`` with the program's own reviews; only these where there is no such file."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        verdicts = {str(key): _verdict(entry) for key, entry in document.get("verdicts", {}).items()}
        reviews = tuple(_review(entry) for entry in document.get("reviews", []))
        for name in document:
            if name not in ("verdicts", "reviews"):
                raise ValueError(f"{name} is neither verdicts nor reviews")
    except FileNotFoundError:
        return Records()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ChartError(
            f"{file}: expected verdicts and reviews of charts, as `edge check --charts` writes: {error}"
        ) from None
    root = file.parent.parent
    # What a chart of the project renders to is known for as long as its files are the same.
    same = {key: one for key, one in verdicts.items() if not _is_local(one) or _unchanged(root / one.chart, one.digest)}
    return Records(same, (*reviews, *DEFAULT_REVIEWS))


def _is_local(verdict: Verdict) -> bool:
    return not verdict.repository and verdict.chart.startswith((".", "/"))


def _unchanged(place: Path, digest: str) -> bool:
    return place.exists() and _digest(place) == digest


def save(file: Path, records: Records) -> None:
    """Writes what is not the program's own, in an order that makes small differences."""
    verdicts = {
        key: {**dataclasses.asdict(verdict), "rules": sorted(verdict.rules), "findings": [
            one._asdict() for one in verdict.findings
        ]}
        for key, verdict in sorted(records.verdicts.items(), key=lambda entry: (entry[1].chart, entry[0]))
    }  # fmt: skip
    reviews = [dataclasses.asdict(review) for review in records.reviews if review not in DEFAULT_REVIEWS]
    file.write_text(json.dumps({"verdicts": verdicts, "reviews": reviews}, indent=2) + "\n", encoding="utf-8")


def renew(
    stacks: Iterable[Sequence[Resource]],
    settings: Settings,
    helm: str,
    root: Path,
    today: date,
    catalogue: Catalogue = CATALOGUE,
) -> Renewal:
    """Renders each chart of the stacks once, and judges it. ``root`` is what paths of local charts begin at."""
    known = dict(settings.charts.verdicts)
    rendered: list[str] = []
    problems: list[str] = []
    done: set[str] = set()
    for resources in stacks:
        sources = _sources(resources)
        for resource, chart in charts_of(resources, settings):
            if chart.key in done:
                continue
            done.add(chart.key)
            try:
                verdict = _judged(chart, sources, settings, helm, root, today, catalogue)
            except ChartError as error:
                problems.append(f"{resource.name}: chart {chart}: {error}")
                continue
            if not chart.local and (other := _another_digest(verdict, known.values())):
                problems.append(
                    f"{resource.name}: chart {chart}: its archive is {verdict.digest}, and was {other} when it was "
                    "judged: somebody changed it under the same version. If that is right, remove its verdicts from "
                    f"{FILE}"
                )
                continue
            known[chart.key] = verdict
            rendered.append(f"{chart}: {verdict.objects} objects, {len(verdict.findings)} findings")
    return Renewal(dataclasses.replace(settings.charts, verdicts=known), tuple(rendered), tuple(problems))


def _another_digest(verdict: Verdict, known: Iterable[Verdict]) -> str | None:
    """The digest of the same version of the same chart, where it was another one."""
    same = (verdict.chart, verdict.repository, verdict.version)
    digests = (one.digest for one in known if (one.chart, one.repository, one.version) == same)
    return next((digest for digest in digests if digest != verdict.digest), None)


def charts_of(resources: Iterable[Resource], settings: Settings) -> Iterator[tuple[Resource, Chart]]:
    """The charts of a stack that can be rendered; what is hidden about one is a finding of the rules."""
    for resource in resources:
        for subject in subjects(resource, settings):
            try:
                chart = chart_of(subject.kind, subject.root)
            except HiddenError:
                continue
            if chart is not None and not chart.unseen:
                yield resource, chart


def used_records(resources: Iterable[Resource], settings: Settings) -> tuple[str, ...]:
    """How the charts of a stack were judged that nothing has rendered now, in words."""
    said = (by_record(chart, settings) for _, chart in charts_of(resources, settings))
    return tuple(sorted({text for text in said if text}))


def _sources(resources: Iterable[Resource]) -> Mapping[str, str]:
    """Addresses of the sources of Flux: by kind, namespace and name."""
    found = {}
    for resource in resources:
        kind = kind_of(resource.type)
        if kind.is_a(FLUX_SOURCES, "HelmRepository", "OCIRepository"):
            metadata, spec = resource.props.get("metadata") or {}, resource.props.get("spec") or {}
            place = f"{kind.name}/{metadata.get('namespace') or 'default'}/{metadata.get('name')}"
            found[place] = str(spec.get("url"))
            if kind.name == "OCIRepository":
                reference = spec.get("ref") or {}
                version = f"@{reference['digest']}" if reference.get("digest") else f":{reference.get('tag') or ''}"
                found[place] += version.removesuffix(":")
    return found


def _judged(
    chart: Chart,
    sources: Mapping[str, str],
    settings: Settings,
    helm: str,
    root: Path,
    today: date,
    catalogue: Catalogue,
) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="edge-charts-") as folder:
        archive = _fetched(chart, sources, helm, root, Path(folder))
        digest = _digest(archive)
        objects, images = 0, dict[str, None]()
        findings: dict[RecordedFinding, None] = {}
        for minor in _MINORS:
            settings = dataclasses.replace(settings, kubernetes=minor)
            resources = _rendered(chart, archive, helm, minor)
            objects = max(objects, len(resources))
            for resource in resources:
                for subject in subjects(resource, settings):
                    images |= dict.fromkeys(subject.image_names)
            for found in evaluate_stack(resources, settings, catalogue):
                if found.rule not in _LIVE:
                    place = found.urn.rpartition("#")[2]
                    findings[RecordedFinding(found.rule, f"{place}: {found.path}", found.message)] = None
    return Verdict(
        chart=chart.name or chart.repository,
        repository=chart.repository,
        version=chart.version,
        digest=digest,
        recorded=today.isoformat(),
        kubernetes=MINORS,
        objects=objects,
        images=tuple(images),
        rules=frozenset(rule.id for rule in catalogue),
        findings=tuple(findings),
    )


def _fetched(chart: Chart, sources: Mapping[str, str], helm: str, root: Path, folder: Path) -> Path:
    """The chart's archive, or its folder where it is one of the project."""
    for word in (chart.name, chart.repository, chart.version, chart.release, chart.namespace):
        if word.startswith("-"):
            raise ChartError(f"{word} is no name, address or version")
    if chart.local:
        place = root / chart.name
        if not place.exists():
            raise ChartError(f"{place} does not exist")
        return place
    name, repository = chart.name, chart.repository
    if repository and "://" not in repository:
        if repository not in sources:
            raise ChartError(f"its source {repository} is not among the resources of the stack")
        repository = sources[repository]
    if repository.startswith("oci://"):
        name, repository = f"{repository.rstrip('/')}/{name}".rstrip("/"), ""
    command = [helm, "pull", name, "--destination", str(folder)]
    command += ["--repo", repository] if repository else []
    command += ["--version", chart.version] if chart.version else []
    _run(command)
    (archive,) = folder.glob("*.tgz")
    return archive


def _rendered(chart: Chart, archive: Path, helm: str, minor: int) -> tuple[Resource, ...]:
    command = [helm, "template", chart.release or "release", str(archive), "--namespace", chart.namespace]
    command += ["--kube-version", f"v1.{minor}.0", "--include-crds", "--values", "-"]
    values = chart.values
    if isinstance(values, dict) and set(values) == {"values", "set"} and isinstance(values["values"], list):
        # As K3s takes them: text, and single values over it.
        for path, value in (values["set"] or {}).items():
            command += ["--set", f"{path}={value}"]
        values = next((one for one in values["values"] if one), {})
    said = _run(command, stdin=json.dumps(values or {}))
    try:
        found = of_documents(yaml.load_all(said, Loader=yaml.CSafeLoader), str(archive))
    except yaml.YAMLError as error:
        raise ChartError(f"helm renders something that is not YAML ({type(error).__name__})") from None
    if found.problems:
        raise ChartError(found.problems[0].partition(": ")[2])
    return tuple(_placed(resource, chart.namespace) for resource in found.resources)


def _placed(resource: Resource, namespace: str) -> Resource:
    """An object in the release's namespace, as `helm install` would create it."""
    metadata = resource.props.get("metadata")
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    metadata.setdefault("namespace", namespace)
    # What is a credential among the values has a placeholder, so that nothing can be told of Secrets.
    return dataclasses.replace(resource, props={**resource.props, "metadata": metadata}, secret_paths=None)


def _digest(place: Path) -> str:
    digest = hashlib.sha256()
    for file in [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(place) if file != place else ''}\0".encode() if place.is_dir() else b"")
        digest.update(file.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def _run(command: Sequence[str], stdin: str = "") -> str:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChartError(f"helm {command[1]} did not finish ({type(error).__name__})") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ChartError(f"helm {command[1]} failed: {last}")
    return done.stdout


def _verdict(entry: Mapping[str, Any]) -> Verdict:
    given = {**entry, "rules": frozenset(entry["rules"]), "kubernetes": tuple(entry["kubernetes"])}
    given["images"] = tuple(entry["images"])
    given["findings"] = tuple(RecordedFinding(**one) for one in entry["findings"])
    return Verdict(**given)


def _review(entry: Mapping[str, Any]) -> Review:
    review = Review(**entry)
    for name in ("chart", "version", "reason", "owner", "reviewed"):
        if not isinstance(getattr(review, name), str) or not getattr(review, name).strip():
            raise ValueError(f"a review without {name}")
    date.fromisoformat(review.reviewed)
    return review
