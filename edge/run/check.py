"""`edge check`: site files and the fleet file, loaded, built and judged without an engine and without a network.

Owns what is checked of one file and the verdict. Worker processes are ``pool``'s.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from components import waiver as waivers
from components.consequence import Consequence, Effect
from components.view import SecretNeed
from edge.exit_codes import BAD_INPUT, DONE, FAILED
from edge.run import fingerprint, pool
from edge.run.against import Before
from edge.run.changed import Changed, changed_since
from edge.run.fingerprint import NO_PLAN
from edge.run.judging import policies_of
from edge.run.operation import cost_of
from edge.run.program import main_program, recorded, rehearsed
from edge.run.selection import is_fleet
from edge.run.stack_settings import StackSettings, read_settings
from engine.environment import PROJECT_ROOT
from engine.rehearsal.in_process import Recorded, Recording, record
from policies.recorded import charts_by_record, findings_of, resource_of
from policies.rules import Waiver
from policies.rules.waivers import publishes, unused, waivers_of
from policies.rules.waivers import read as read_waiver
from sitefile.checked_file import FileChecker
from sitefile.problems import FileError, Problem, in_order
from stacks.configuration import full_key
from stacks.fleet.load import STACK as FLEET
from stacks.loader import shared_problems, site_checker, site_files
from stacks.parts import has_unmanaged_cluster, networks, required
from stacks.project import project_name, sites_folder
from stacks.rules import fleet_size
from stacks.rules.between_sites import between_sites
from stacks.shared.settings import STACK as SHARED
from stacks.shared.settings import NotYaml, plain_keys
from stacks.site import SiteSpec


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """A finding of the policies; never holds a property's value."""

    rule: str
    level: str
    urn: str
    path: str
    message: str
    remedy: str
    waiver: str = ""
    """Of a waived finding: until when, by whom and why."""


@dataclass(frozen=True, slots=True)
class GraphProblem:
    """What the engine or a provider would refuse."""

    urn: str
    property: str
    reason: str


@dataclass(frozen=True, slots=True)
class SiteCheck:
    """Everything that the check found about one file: a site's, or the fleet's."""

    site: str
    file: Path
    tier: str = ""
    hosts: int = 0
    resources: int = 0
    problems: tuple[Problem, ...] = ()
    """Errors in the file; where there are any but unused waivers, nothing else has been checked."""
    advice: tuple[Problem, ...] = ()
    """What is worth knowing of a valid file."""
    graph: tuple[GraphProblem, ...] = ()
    policies: tuple[PolicyResult, ...] = ()
    consequences: tuple[Consequence, ...] = ()
    """What the edit does to a site that is up, the worst first; only where it was asked for (`--against`)."""
    cost: dict[str, Any] | None = None
    secrets_missing: tuple[str, ...] = ()
    """Keys that a real run needs and that are not set. Not an error: a rehearsal needs none."""
    host_keys: tuple[str, ...] = ()
    """Keys of the hosts: no two sites may have one in common."""
    has_routes: bool = False
    """Whether the site advertises networks to a mesh; they may overlap with those of other sites."""
    charts: tuple[str, ...] = ()
    """Charts that were judged by their record and not rendered, each in words."""
    has_unmanaged_cluster: bool = False
    """Whether the site has a cluster that no fleet manager knows."""
    used: frozenset[Waiver] = frozenset()
    """The waivers that cover a finding, whether they have expired or not."""
    plan: str = ""
    """The fingerprint of what the program registers, or why there is none; only where it was asked for."""
    duration_s: float = 0.0

    @property
    def judged(self) -> bool:
        """Whether the policies ran: they judge what the program registers, and it may have stopped before it did."""
        return self.resources > 0

    @property
    def mandatory(self) -> tuple[PolicyResult, ...]:
        return tuple(finding for finding in self.policies if finding.level == "mandatory")

    @property
    def advisory(self) -> tuple[PolicyResult, ...]:
        return tuple(finding for finding in self.policies if finding.level == "advisory")

    @property
    def waived(self) -> tuple[PolicyResult, ...]:
        """What the site's waivers cover: shown, and not counted."""
        return tuple(finding for finding in self.policies if finding.level == "waived")

    @property
    def code(self) -> int:
        """Exit code for this file: bad input outweighs everything else."""
        if self.problems:
            return BAD_INPUT
        impossible = any(one.effect is Effect.IMPOSSIBLE for one in self.consequences)
        return FAILED if self.graph or self.mandatory or impossible else DONE

    def as_dict(self) -> dict[str, Any]:
        return {
            "site": self.site,
            "file": self.file.as_posix(),
            "consequences": [one.as_dict() for one in self.consequences],
            "tier": self.tier,
            "hosts": self.hosts,
            "resources": self.resources,
            "problems": [problem.as_dict() for problem in self.problems],
            "advice": [problem.as_dict() for problem in self.advice],
            "graph": [asdict(problem) for problem in self.graph],
            "policies": [asdict(finding) for finding in self.policies],
            "judged": self.judged,
            "charts": list(self.charts),
            "cost": self.cost,
            "secrets": {"missing": list(self.secrets_missing)},
            "duration_s": round(self.duration_s, 4),
            "exit": self.code,
        }


@dataclass
class Report:
    """All files together."""

    sites: list[SiteCheck] = field(default_factory=list)
    fleet: SiteCheck | None = None
    """The fleet stack, where its file was checked."""
    between: tuple[Problem, ...] = ()
    """Problems between sites."""
    shared: tuple[Problem, ...] = ()
    """Problems of what sites share: profiles, models, defaults."""
    charts_failed: tuple[str, ...] = ()
    """Charts that were to be rendered and could not be, each with the reason."""
    duration_s: float = 0.0

    def add(self, found: SiteCheck, root: Path) -> None:
        if is_fleet(found.file, root):
            self.fleet = found
        else:
            self.sites.append(found)

    @property
    def stacks(self) -> list[SiteCheck]:
        """Sites, then the fleet."""
        return [*self.sites, *([self.fleet] if self.fleet else [])]

    @property
    def problems(self) -> list[Problem]:
        """Errors in all files and between them, each once: the fleet stack is built from the sites' files too."""
        found = [problem for stack in self.stacks for problem in stack.problems]
        return list(dict.fromkeys([*self.shared, *found, *self.between]))

    @property
    def code(self) -> int:
        if self.between or self.shared:
            return BAD_INPUT
        return max((FAILED if self.charts_failed else DONE, *(stack.code for stack in self.stacks)))

    @property
    def advice(self) -> tuple[str, ...]:
        """What is worth knowing of all sites together, and wrong with none of them."""
        said = fleet_size.advice(sum(site.has_unmanaged_cluster for site in self.sites))
        return (said,) if said else ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "sites": [site.as_dict() for site in self.sites],
            "fleet": self.fleet.as_dict() if self.fleet else None,
            "problems": [problem.as_dict() for problem in (*self.shared, *self.between)],
            "advice": list(self.advice),
            "charts_failed": list(self.charts_failed),
            "counts": {
                "sites": len(self.sites),
                "hosts": sum(site.hosts for site in self.sites),
                "resources": sum(stack.resources for stack in self.stacks),
                "problems": len(self.problems),
                "graph": sum(len(stack.graph) for stack in self.stacks),
                "mandatory": sum(len(stack.mandatory) for stack in self.stacks),
                "advisory": sum(len(stack.advisory) + len(stack.advice) for stack in self.stacks),
                "waived": sum(len(stack.waived) for stack in self.stacks),
            },
            "duration_s": round(self.duration_s, 3),
            "exit": self.code,
        }


def check_files(
    files: Sequence[Path], root: Path, jobs: int | None = None, plans: Mapping[Path, str] | None = None
) -> Iterator[SiteCheck]:
    """Check all files, in their order; many files in several processes. A check that fails is its file's result.

    With ``plans``, a site that still has that plan is not judged, and every result says the plan.
    """
    items = [(file, None if plans is None else plans[file]) for file in files]
    check = functools.partial(_check_item, root=root)
    workers = 1 if jobs is None and len(files) <= pool.ALONE else pool.size(len(files), jobs)
    results = pool.each(check, items, workers) if workers > 1 else (pool.attempt(check, item) for item in items)
    for file, result in zip(files, results, strict=True):
        if isinstance(result, pool.Lost):
            reason = f"could not be checked: {result.reason}"
            yield SiteCheck(file.stem, file, graph=(GraphProblem("", "", reason),), plan=NO_PLAN + result.reason)
        else:
            yield result


def check_changed(
    ref: str,
    files: Sequence[Path],
    root: Path,
    jobs: int | None = None,
    tell: Callable[[int, int], None] = lambda _done, _of: None,
) -> tuple[Changed, list[SiteCheck]]:
    """Which of ``files`` have changed since ``ref``, and what is found of those. Raises ``OperationError``.

    The program of each site runs once: what it registers is compared, and judged where it differs. ``tell`` hears how
    many sites are compared, of how many; first that none is, while the plans of ``ref`` are made.
    """
    checked: dict[Path, SiteCheck] = {}

    def present(plans: Mapping[Path, str]) -> dict[Path, str]:
        for number, one in enumerate(check_files(list(plans), root, jobs, plans), 1):
            checked[one.file] = one
            tell(number, len(plans))
        return {file: one.plan for file, one in checked.items()}

    tell(0, len(files))

    changed = changed_since(ref, files, root, jobs, present)
    rest = [file for file in changed.files if file not in checked]
    checked.update((one.file, one) for one in check_files(rest, root, jobs))
    return changed, [checked[file] for file in changed.files]


def compared(found: SiteCheck, before: Before) -> SiteCheck:
    """With what the edit of the site means. Raises ``OperationError``."""
    if found.problems or is_fleet(found.file, before.root):
        return found
    spec = spec_of(found.file, before.root)
    return found if spec is None else replace(found, consequences=before.consequences(spec))


def spec_of(file: Path, root: Path) -> SiteSpec | None:
    """The site that a file describes; None where it has errors."""
    return _files(root, file.parent).check(file).model


def check_file(file: Path, root: Path = PROJECT_ROOT, plan: str | None = None) -> SiteCheck:
    """One file, from the text to the verdict. With ``plan``, as in ``check_files``."""
    started = time.perf_counter()
    found = _check_fleet(file, root) if is_fleet(file, root) else _check_site(file, root, plan)
    return replace(found, duration_s=time.perf_counter() - started)


def _check_item(item: tuple[Path, str | None], root: Path) -> SiteCheck:
    return check_file(item[0], root, item[1])


def check_between(sites: Sequence[SiteCheck], root: Path = PROJECT_ROOT) -> tuple[Problem, ...]:
    """Problems between sites. Reads only those files again that can be concerned."""
    stems = Counter(site.file.stem for site in sites)
    keys = Counter(key for site in sites for key in set(site.host_keys))
    concerned = [
        site.file
        for site in sites
        if site.has_routes or stems[site.file.stem] > 1 or any(keys[key] > 1 for key in site.host_keys)
    ]
    if len(concerned) < 2:
        return ()
    checked = [(_files(root, file.parent), _files(root, file.parent).check(file)) for file in concerned]
    checker_of = {id(file): checker for checker, file in checked}
    found = between_sites([file for _, file in checked])
    return in_order(problem for file, clash in found for problem in checker_of[id(file)].finish([clash], file))


def check_shared(files: Sequence[Path], root: Path = PROJECT_ROOT) -> tuple[Problem, ...]:
    """Problems of what the files share, whether they use it or not."""
    folders = [file.parent for file in files if not is_fleet(file, root)]
    return tuple(shared_problems(root, [folder for folder in folders if folder.resolve() != sites_folder(root)]))


def recording_of(file: Path, root: Path) -> Recording | None:
    """The resources of a site; None for the fleet, and for a file from which no site can be built."""
    spec = None if is_fleet(file, root) else spec_of(file, root)
    if spec is None:
        return None
    settings, _ = _settings(root, spec.site)
    try:
        return recorded(spec, rehearsed(spec, settings.plain, file, root), root)
    except Exception:
        # The check of the file says what stops it.
        return None


def check_waivers(result: Report, root: Path, *, everywhere: bool) -> tuple[Problem, ...]:
    """The company's waivers that have expired, and those that cover nothing.

    The latter is known only where all stacks were looked for (``everywhere``), and judged.
    """
    company = policies_of(root).company
    if company is None:
        return ()
    found = company.expired(today())
    names = {file.stem for file in site_files(root=root)}
    if everywhere and names <= {stack.site for stack in result.sites} and all(one.judged for one in result.stacks):
        used = frozenset[Waiver]().union(*(stack.used for stack in result.stacks))
        found += company.unused(frozenset(company.of_sites) - used)
    return tuple(in_order(found))


@functools.lru_cache(maxsize=8)
def _files(root: Path, folder: Path) -> FileChecker[SiteSpec]:
    """Reads a folder's defaults once for all its files."""
    return site_checker(root, folder)


def _check_site(file: Path, root: Path, before: str | None) -> SiteCheck:
    checker = _files(root, file.parent)
    checked = checker.check(file)
    spec = checked.model
    if spec is None:
        first = checked.problems[0]
        plan = _no_plan(f"{first.file}:{first.line}:{first.column}: {first.what}", root)
        return SiteCheck(file.stem, file, problems=tuple(checked.problems), plan=plan)
    settings, unreadable = _settings(root, spec.site)
    recording, stopped, plan = None, unreadable, ""
    builds: list[bool] = []
    try:
        rehearsal = rehearsed(spec, settings.plain, file, root)
        recording = recorded(spec, rehearsal, root, built=lambda _site: builds.append(True))
        if not builds:
            stopped = (*stopped, GraphProblem("", "__main__.py", "does not build the site: it must call `build`"))
        if before is not None:
            plan = fingerprint.fingerprint(recording)
    except Exception as error:
        # It would stop `pulumi up` too. Here it is a result for this site, and the next one is checked.
        stopped = (*stopped, _stopped(error))
        plan = _no_plan(fingerprint.reason(error), root)
    if unreadable:
        plan = _no_plan(f"{unreadable[0].property} {unreadable[0].reason}", root)
    if plan == before and not plan.startswith(NO_PLAN):
        return SiteCheck(spec.site, file, plan=plan)
    if late := [checked.problem("waiver-expired", finding) for finding in waivers.expired(spec.waivers, today())]:
        return SiteCheck(file.stem, file, problems=tuple(checker.finish(late, checked)), plan=plan)
    refused = [_in_plain_text(settings.file.name, key) for key in settings.exposed(spec)]
    refused += [_in_plain_text(f"Pulumi.{SHARED}.yaml", need.key) for need in _exposed_shared(spec, root)]
    if other := settings.other_site(spec.site):
        refused.append(_another_site(settings.file.name, other, spec.site))
    found = _judged(
        SiteCheck(
            site=spec.site,
            file=file,
            tier=spec.tier,
            hosts=len(spec.hosts),
            advice=tuple(checked.advice),
            graph=(*refused, *stopped),
            cost=cost_of(spec),
            secrets_missing=tuple(need.key for need in settings.missing(spec)),
            host_keys=tuple(host.host_key for host in spec.hosts),
            has_routes=any(network.mesh for network in networks(spec)),
            has_unmanaged_cluster=has_unmanaged_cluster(spec),
            plan=plan,
        ),
        recording,
        root,
    )
    if idle := [] if stopped else _unused(spec, found):
        problems = [checked.problem("waiver-unused", finding) for finding in waivers.unused(spec.waivers, idle)]
        return replace(found, problems=tuple(checker.finish(problems, checked)))
    return found


def _no_plan(why: str, root: Path) -> str:
    return NO_PLAN + why.replace(f"{root}/", "")


def _unused(spec: SiteSpec, found: SiteCheck) -> list[int]:
    """Which of the site's waivers cover none of its findings. Of a site that was not judged, nobody knows."""
    if not found.judged:
        return []
    given = [read_waiver(waiver.model_dump(mode="json")) for waiver in spec.waivers]
    return [index for index, waiver in enumerate(given) if waiver not in found.used]


def _check_fleet(file: Path, root: Path) -> SiteCheck:
    """The fleet stack, which is built from the fleet file and all sites of the project."""
    settings, unreadable = _settings(root, FLEET)
    found = SiteCheck(FLEET, file, graph=unreadable)
    try:
        recording = record(main_program(root), project=project_name(root), stack=FLEET, config=settings.plain)
    except Exception as error:
        if isinstance(error.__cause__, FileError):
            return replace(found, problems=tuple(error.__cause__.problems))
        return replace(found, graph=(*found.graph, _stopped(error)))
    return _judged(found, recording, root)


def _settings(root: Path, stack: str) -> tuple[StackSettings, tuple[GraphProblem, ...]]:
    try:
        return read_settings(root, stack), ()
    except NotYaml as error:
        return StackSettings(error.file), (GraphProblem("", error.file.name, f"is not YAML: {error}"),)


def _judged(found: SiteCheck, recording: Recording | None, root: Path) -> SiteCheck:
    """With what providers and policies say about the stack's resources."""
    if recording is None:
        return found
    refused = [GraphProblem(problem.urn, problem.property, problem.reason) for problem in recording.problems]
    judging = policies_of(root)
    findings = findings_of(recording.resources, judging.settings, today(), judging.catalogue, judging.waivers)
    given = [*judging.waivers, *(waiver for one in recording.resources for waiver in _published(one))]
    policies = (
        PolicyResult(
            finding.rule, finding.level, finding.urn, finding.path, finding.message, finding.remedy, finding.waiver
        )
        for finding in findings
    )
    return replace(
        found,
        resources=len(recording.resources),
        graph=(*found.graph, *refused),
        policies=tuple(policies),
        charts=charts_by_record(recording.resources, judging.settings),
        used=frozenset(given) - frozenset(unused(findings, given)),
    )


def _published(resource: Recorded) -> tuple[Waiver, ...]:
    return waivers_of(resource_of(resource)) if publishes(resource.type) else ()


def today() -> date:
    """The day (UTC) on which waivers must not have expired."""
    return datetime.now(UTC).date()


def _stopped(error: Exception) -> GraphProblem:
    return GraphProblem("", "", f"the program stops: {type(error).__name__}: {_first_line(error)}")


def verdict(sites: Sequence[SiteCheck], fleet: SiteCheck | None = None) -> str:
    """The one line at the end."""
    stacks = [*sites, *([fleet] if fleet else [])]
    bad = sum(1 for stack in stacks if stack.problems)
    failed = sum(1 for stack in stacks if stack.code == FAILED)
    total = f"{len(sites)} site{'s' if len(sites) != 1 else ''}{' and the fleet' if fleet else ''}"
    if not stacks:
        return "no site was checked"
    if not bad and not failed:
        return f"{total}: all good"
    parts = [f"{bad} with errors in the file"] if bad else []
    impossible = sum(1 for stack in stacks if any(one.effect is Effect.IMPOSSIBLE for one in stack.consequences))
    failed -= sum(1 for stack in stacks if stack.code == FAILED and not stack.graph and not stack.mandatory)
    parts += [f"{failed} refused by policies or providers"] if failed else []
    parts += [f"{impossible} with an edit that cannot work"] if impossible else []
    return f"{total}: {', '.join(parts)}"


def _exposed_shared(spec: SiteSpec, root: Path) -> list[SecretNeed]:
    """Secrets of the site that sites share in plain text."""
    try:
        plain = plain_keys(root)
    except NotYaml:
        # Said already: the site's own settings were read with it.
        return []
    return [need for need in required(spec) if need.key in plain]


def _in_plain_text(file: str, key: str) -> GraphProblem:
    reason = (
        f"this secret is in plain text; treat it as leaked, change it, and set the new one with "
        f"`pulumi config set --secret {full_key(key)}`"
    )
    return GraphProblem("", f"{file}: {full_key(key)}", reason)


def _another_site(file: str, other: str, site: str) -> GraphProblem:
    reason = f"is `{other}`, so that `pulumi up` builds another site; expected `{site}`"
    return GraphProblem("", f"{file}: {full_key('site')}", reason)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no reason given").splitlines()[0]
