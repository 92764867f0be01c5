"""`edge check`: every site loaded, built and judged in this process, no engine and no network.

Owns what is checked of one site and the verdict. Spreading many sites over processes is in ``crew``, which files are
meant in ``selection``, showing it in ``render``.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edge.run.operation import BAD_INPUT, DONE, FAILED, cost_of
from edge.run.stack_settings import NAMESPACE, placeholders, read_settings
from engine.environment import PROJECT_ROOT
from engine.rehearsal.in_process import record
from engine.rehearsal.world import World
from policies import settings as policy_settings
from policies.recorded import findings_of
from policies.rules import Settings
from sitefile.checked_file import FileChecker
from sitefile.problems import Problem, in_order
from stacks.loader import site_checker
from stacks.program import program
from stacks.rules.between_sites import between_sites
from stacks.site import SiteSpec

PROJECT = "edge"


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """A finding of the policies; never holds a property's value."""

    rule: str
    level: str
    urn: str
    path: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class GraphProblem:
    """What the engine or a provider would refuse."""

    urn: str
    property: str
    reason: str


@dataclass(frozen=True, slots=True)
class SiteCheck:
    """Everything that the check found about one site file. Small: hundreds of them cross from process to process."""

    site: str
    file: Path
    tier: str = ""
    hosts: int = 0
    resources: int = 0
    problems: tuple[Problem, ...] = ()
    """What is wrong with the file; where there are any, nothing else has been looked at."""
    graph: tuple[GraphProblem, ...] = ()
    policies: tuple[PolicyResult, ...] = ()
    cost: dict[str, Any] | None = None
    secrets_missing: tuple[str, ...] = ()
    """Keys that a real run would need and the stack's settings do not hold. No fault: a rehearsal needs none."""
    has_routes: bool = False
    """Whether the site advertises networks to a mesh, which other sites may clash with."""
    duration_s: float = 0.0

    @property
    def mandatory(self) -> tuple[PolicyResult, ...]:
        return tuple(finding for finding in self.policies if finding.level == "mandatory")

    @property
    def advisory(self) -> tuple[PolicyResult, ...]:
        return tuple(finding for finding in self.policies if finding.level != "mandatory")

    @property
    def code(self) -> int:
        """Exit code of this site: bad input before anything else."""
        if self.problems:
            return BAD_INPUT
        return FAILED if self.graph or self.mandatory else DONE

    def as_dict(self) -> dict[str, Any]:
        return {
            "site": self.site,
            "file": self.file.as_posix(),
            "tier": self.tier,
            "hosts": self.hosts,
            "resources": self.resources,
            "problems": [problem.as_dict() for problem in self.problems],
            "graph": [asdict(problem) for problem in self.graph],
            "policies": [asdict(finding) for finding in self.policies],
            "cost": self.cost,
            "secrets": {"missing": list(self.secrets_missing)},
            "duration_s": round(self.duration_s, 4),
            "exit": self.code,
        }


@dataclass
class Report:
    """All sites together."""

    sites: list[SiteCheck] = field(default_factory=list)
    between: tuple[Problem, ...] = ()
    """Problems that only show when sites are looked at side by side."""
    duration_s: float = 0.0

    @property
    def code(self) -> int:
        if self.between:
            return BAD_INPUT
        return max((site.code for site in self.sites), default=DONE)

    def as_dict(self) -> dict[str, Any]:
        return {
            "sites": [site.as_dict() for site in self.sites],
            "problems": [problem.as_dict() for problem in self.between],
            "counts": {
                "sites": len(self.sites),
                "hosts": sum(site.hosts for site in self.sites),
                "resources": sum(site.resources for site in self.sites),
                "problems": sum(len(site.problems) for site in self.sites) + len(self.between),
                "graph": sum(len(site.graph) for site in self.sites),
                "mandatory": sum(len(site.mandatory) for site in self.sites),
                "advisory": sum(len(site.advisory) for site in self.sites),
            },
            "duration_s": round(self.duration_s, 3),
            "exit": self.code,
        }


def check_file(file: Path, root: Path = PROJECT_ROOT) -> SiteCheck:
    """One site file, from the text to the verdict."""
    started = time.perf_counter()
    checked = _files(root, file.parent).check(file)
    if checked.model is None:
        problems = tuple(checked.problems)
        return SiteCheck(file.stem, file, problems=problems, duration_s=time.perf_counter() - started)
    return check_spec(checked.model, file, root, started)


def check_between(sites: Sequence[SiteCheck], root: Path = PROJECT_ROOT) -> tuple[Problem, ...]:
    """What only shows when sites are looked at side by side; reads no file that cannot be concerned."""
    stems = Counter(site.file.stem for site in sites)
    concerned = [site.file for site in sites if site.has_routes or stems[site.file.stem] > 1]
    if len(concerned) < 2:
        return ()
    checked = [(_files(root, file.parent), _files(root, file.parent).check(file)) for file in concerned]
    checker_of = {id(file): checker for checker, file in checked}
    found = between_sites([file for _, file in checked])
    return in_order(problem for file, clash in found for problem in checker_of[id(file)].finish([clash], file))


@functools.lru_cache(maxsize=8)
def _files(root: Path, folder: Path) -> FileChecker[SiteSpec]:
    """Reads a folder's defaults once for all its files."""
    return site_checker(root, folder)


@functools.cache
def _policy_settings() -> Settings:
    return policy_settings.load()


def check_spec(spec: SiteSpec, file: Path, root: Path, started: float) -> SiteCheck:
    """A sound spec: its graph, the policies on it, its cost and its secrets."""
    graph: list[GraphProblem] = []
    policies: tuple[PolicyResult, ...] = ()
    resources = 0
    missing: tuple[str, ...] = ()
    config = {NAMESPACE + key: value for key, value in placeholders(spec).items()}
    secret_keys = frozenset(config)
    try:
        settings = read_settings(root, spec.site)
        config = {**settings.plain, **config}
        missing = tuple(need.key for need in settings.missing(spec))
        graph += [_in_plain_text(settings.file.name, key) for key in settings.exposed(spec)]
    except yaml.YAMLError as error:
        graph.append(GraphProblem("", f"Pulumi.{spec.site}.yaml", f"is not YAML: {_first_line(error)}"))
    try:
        recording = record(
            program(spec),
            project=PROJECT,
            stack=spec.site,
            config=config,
            secret_keys=secret_keys,
            world=World.of(spec.model_dump(mode="json")),
        )
    except Exception as error:
        # It would end `pulumi up` as well; it is a finding about this site, not the end of the check.
        graph.append(GraphProblem("", "", f"the program stops: {type(error).__name__}: {_first_line(error)}"))
    else:
        resources = len(recording.resources)
        graph += [GraphProblem(problem.urn, problem.property, problem.reason) for problem in recording.problems]
        policies = tuple(
            PolicyResult(finding.rule, finding.level, finding.urn, finding.path, finding.message, finding.remedy)
            for finding in findings_of(recording.resources, _policy_settings())
        )
    return SiteCheck(
        site=spec.site,
        file=file,
        tier=spec.tier,
        hosts=len(spec.hosts),
        resources=resources,
        graph=tuple(graph),
        policies=policies,
        cost=cost_of(spec),
        secrets_missing=missing,
        has_routes=bool(getattr(spec.mesh, "advertise_routes", ())),
        duration_s=time.perf_counter() - started,
    )


def verdict(sites: Sequence[SiteCheck]) -> str:
    """The one line at the end."""
    bad = sum(1 for site in sites if site.problems)
    failed = sum(1 for site in sites if site.code == FAILED)
    total = f"{len(sites)} site{'s' if len(sites) != 1 else ''}"
    if not bad and not failed:
        return f"{total}: all good"
    parts = [f"{bad} with errors in the file"] if bad else []
    parts += [f"{failed} refused by policies or providers"] if failed else []
    return f"{total}: {', '.join(parts)}"


def _in_plain_text(file: str, key: str) -> GraphProblem:
    reason = (
        f"a secret stands there in plain text; take it for known to others, change it, and set the new one with "
        f"`pulumi config set --secret {NAMESPACE}{key}`"
    )
    return GraphProblem("", f"{file}: {NAMESPACE}{key}", reason)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no reason given").splitlines()[0]
