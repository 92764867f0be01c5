"""`edge check --manifests`: what Flux will apply, judged by the rules that judge a site."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from edge.exit_codes import BAD_INPUT, DONE, FAILED
from edge.run.failure import OperationError
from edge.run.judging import policies_of
from edge.run.kustomize import manifests
from policies.charts import used_records
from policies.manifests import Manifests, Place, of_text, together
from policies.rules import Catalogue, Finding, Waiver, evaluate_stack
from policies.rules.model import NEWEST_KUBERNETES
from policies.rules.selection import STANDARDS, names, select
from policies.rules.waivers import apply, unused
from sitefile.problems import Problem, near_miss

STANDARD_INPUT = "-"
_OfPaths = Sequence[tuple[Waiver, Sequence[str]]]


@dataclass(frozen=True)
class Judged:
    """What a rule says about one object, and where that is written."""

    finding: Finding
    name: str
    """Kind, namespace and name."""
    place: Place

    def as_dict(self, catalogue: Catalogue) -> dict[str, Any]:
        finding = self.finding
        severity = next((rule.severity for rule in catalogue if rule.id == finding.rule), None)
        return {
            "rule": finding.rule,
            "level": finding.level,
            "severity": severity,
            "object": self.name,
            "file": self.place.file,
            "line": self.place.line or None,
            "column": self.place.column or None,
            "path": finding.path,
            "message": finding.message,
            "remedy": finding.remedy,
            "waiver": finding.waiver,
        }


@dataclass(frozen=True)
class ManifestReport:
    """The verdict on all manifests together."""

    paths: tuple[str, ...]
    catalogue: Catalogue
    """The rules that were asked for."""
    kubernetes: int
    """The minor of Kubernetes whose reading of the Pod Security Standards counts."""
    objects: int
    found: tuple[Judged, ...]
    problems: tuple[str, ...]
    """What could not be read or rendered."""
    charts: tuple[str, ...] = ()
    """Charts that were judged by their record and not rendered, each in words."""

    def of_level(self, level: str) -> tuple[Judged, ...]:
        return tuple(one for one in self.found if one.finding.level == level)

    @property
    def code(self) -> int:
        """Bad input outweighs everything else: what was not read was not judged."""
        if self.problems:
            return BAD_INPUT
        return FAILED if self.of_level("mandatory") else DONE

    def as_dict(self) -> dict[str, Any]:
        return {
            "manifests": list(self.paths),
            "kubernetes": f"1.{self.kubernetes}",
            "rules": [rule.id for rule in self.catalogue],
            "findings": [one.as_dict(self.catalogue) for one in self.found],
            "problems": list(self.problems),
            "charts": list(self.charts),
            "counts": {
                "objects": self.objects,
                "problems": len(self.problems),
                **{level: len(self.of_level(level)) for level in ("mandatory", "advisory", "waived")},
            },
            "exit": self.code,
        }


def check_manifests(
    paths: Sequence[str], rules: Sequence[str], root: Path, kubernetes: int = NEWEST_KUBERNETES
) -> ManifestReport:
    """Judge what is in files, folders and standard input (`-`), together, by the policies of the project ``root``.

    ``rules`` are ids, groups and standards; by default all rules. ``kubernetes`` is the minor of Kubernetes 1 that will
    run them. Raises ``OperationError`` and ``FileError``.
    """
    judging = policies_of(root)
    settings = replace(judging.settings, kubernetes=kubernetes)
    catalogue = _selected(judging.catalogue, rules)
    read = together(_read(path) for path in paths)
    found = evaluate_stack(read.resources, settings, catalogue)
    paths_of = {resource.urn: _from_root(resource.urn, root) for resource in read.resources}
    given = judging.company.of_manifests if judging.company else ()
    findings = [
        one for finding in found for one in apply([finding], _for(paths_of.get(finding.urn, ""), given), today())
    ]
    idle = [] if rules else list(unused(findings, _for_any(paths_of.values(), given)))
    problems = judging.company.unused(idle) if judging.company and idle else []
    kinds = {resource.urn: resource.props["kind"] for resource in read.resources}
    named = {resource.urn: f"{kinds[resource.urn]} {resource.name}".rstrip() for resource in read.resources}
    judged = (
        Judged(one, named.get(one.urn, "all objects"), read.place(one.urn, one.path) or Place(", ".join(paths)))
        for one in findings
    )
    in_order = sorted(judged, key=lambda one: (one.place, one.name, one.finding.rule, one.finding.path))
    return ManifestReport(
        tuple(paths),
        catalogue,
        kubernetes,
        len(read.resources),
        tuple(in_order),
        (*read.problems, *map(Problem.render, problems)),
        used_records(read.resources, settings),
    )


def _from_root(urn: str, root: Path) -> str:
    """The file of an object, or the folder that it was rendered from, from the project's folder."""
    file = Path(urn.partition("#")[0]).resolve()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()


def _for(path: str, given: _OfPaths) -> list[Waiver]:
    """The company's waivers for what is at ``path``."""
    return [waiver for waiver, globs in given if any(fnmatchcase(path, one) for one in globs)]


def _for_any(paths: Iterable[str], given: _OfPaths) -> list[Waiver]:
    return list(dict.fromkeys(waiver for path in set(paths) for waiver in _for(path, given)))


def today() -> date:
    """The day (UTC) on which waivers must not have expired."""
    return datetime.now(UTC).date()


def _read(path: str) -> Manifests:
    if path != STANDARD_INPUT:
        return manifests(Path(path))
    try:
        found = of_text(sys.stdin.buffer.read().decode("utf-8-sig"), "standard input")
    except UnicodeDecodeError:
        return Manifests((), ("standard input: is not UTF-8",))
    return found if found.resources or found.problems else Manifests((), ("standard input: holds no manifest",))


def _selected(catalogue: Catalogue, wanted: Sequence[str]) -> Catalogue:
    asked = [name for one in wanted for name in one.replace(",", " ").split()]
    try:
        return select(catalogue, asked)
    except LookupError as error:
        strange = str(error.args[0])
        near = near_miss(strange, names(catalogue))
        meant = f": did you mean `{near}`?" if near else "."
        groups = ", ".join((*STANDARDS, *catalogue.groups))
        raise OperationError(
            f"--rules: there is no rule and no group `{strange}`{meant}",
            (f"groups are {groups}", "docs/policies.md lists the rules"),
            code=BAD_INPUT,
        ) from None
