"""`edge audit`: a site's K3s against the CIS benchmark, check by check, with what was found and why it is well or not.

Owns the verdicts. What is found comes from what the program publishes of each kind of node, which the policies judge
too, or from hosts (``edge.hosts.audit``). The checks are ``policies.rules.benchmark``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from edge.exit_codes import BAD_INPUT, DONE, FAILED
from edge.run.failure import OperationError
from edge.run.judging import policies_of
from edge.run.program import recorded, rehearsed
from edge.run.stack_settings import read_settings
from policies.recorded import findings_of, resource_of
from policies.rules import Finding
from policies.rules.benchmark.checks import CHECKS, minor_of
from policies.rules.benchmark.effective import Flags, effective
from policies.rules.benchmark.model import Check, Datastore, FileCheck, FlagCheck, OtherCheck
from policies.rules.kinds import kind_of
from sitefile.problems import FileError, Problem
from stacks.loader import load_site
from stacks.site import SiteSpec

Verdict = Literal["pass", "fail", "waived", "n/a", "manual", "host", "unseen"]
"""``n/a``: K3s has no such thing. ``manual``: a person has to decide. ``host``: only a host can show it (`--live`).
``unseen``: a host was asked and did not show it."""

_BAD: tuple[Verdict, ...] = ("fail", "unseen")


@dataclass(frozen=True)
class Node:
    """A kind of node, or with `--live` a host, and the flags of its processes."""

    name: str
    """Role and release, or the host's name."""
    role: Literal["server", "agent"]
    version: str
    datastore: Datastore
    flags: Flags
    modes: Mapping[str, tuple[int, str]] | None = None
    """Mode and owner of files by path; None where no host was asked."""
    unseen: frozenset[str] = frozenset()
    """Processes of which the host shows no flags."""


@dataclass(frozen=True)
class Row:
    """One check, and what became of it at a site."""

    check: Check
    verdict: Verdict
    found: str = ""
    node: str = ""
    """The node that ``found`` is of: the worst one."""
    waiver: str = ""
    """Why it is waived, or has no object."""

    @property
    def required(self) -> str:
        return "" if isinstance(self.check, OtherCheck) else self.check.required

    @property
    def remedy(self) -> str:
        return self.check.remedy if isinstance(self.check, FlagCheck) else ""

    def as_dict(self) -> dict[str, Any]:
        check = self.check
        document: dict[str, Any] = {
            "id": check.id,
            "title": check.title,
            "required": self.required or None,
            "found": self.found or None,
            "node": self.node or None,
            "verdict": self.verdict,
            "waiver": self.waiver or None,
        }
        if isinstance(check, FlagCheck):
            rule = f"host/{check.rule}"
            document |= {"process": check.process, "flags": list(check.flags), "rule": rule, "remedy": check.remedy}
        elif isinstance(check, FileCheck):
            document["paths"] = list(check.paths)
        elif check.by:
            document["judged_by"] = check.by
        return document


@dataclass(frozen=True)
class SiteAudit:
    """The result for one site."""

    site: str
    file: Path
    nodes: Sequence[Node] = ()
    rows: Sequence[Row] = ()
    """Empty where no K3s of the site's own is there to audit."""
    not_reached: Mapping[str, str] = field(default_factory=dict)
    """By host, why it could not be asked."""
    changed: Sequence[tuple[str, str, str, str, str]] = ()
    """Flags that a host runs with and its site file does not plan: node, process, flag, planned, found."""
    problems: Sequence[Problem] = ()
    failure: OperationError | None = None

    @property
    def code(self) -> int:
        if self.problems:
            return BAD_INPUT
        bad = any(row.verdict in _BAD for row in self.rows)
        return FAILED if bad or self.failure or self.not_reached else DONE

    @property
    def counts(self) -> dict[str, int]:
        verdicts = [row.verdict for row in self.rows]
        return {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}

    def as_dict(self) -> dict[str, Any]:
        keys = ("node", "process", "flag", "planned", "found")
        document: dict[str, Any] = {
            "site": self.site,
            "file": self.file.as_posix(),
            "nodes": [
                {"name": node.name, "role": node.role, "version": node.version, "datastore": node.datastore}
                for node in self.nodes
            ],
            "checks": [row.as_dict() for row in self.rows],
            "counts": self.counts,
            "changed": [dict(zip(keys, one, strict=True)) for one in self.changed],
            "not_reached": dict(self.not_reached),
            "problems": [problem.as_dict() for problem in self.problems],
            "exit": self.code,
        }
        if self.failure:
            document["error"] = self.failure.as_dict()
        return document


@dataclass(frozen=True)
class Report:
    """All sites together."""

    sites: Sequence[SiteAudit]

    @property
    def code(self) -> int:
        return max((site.code for site in self.sites), default=DONE)

    def as_dict(self) -> dict[str, Any]:
        return {"sites": [site.as_dict() for site in self.sites], "exit": self.code}


@dataclass(frozen=True)
class Planned:
    """A site whose program has run."""

    spec: SiteSpec
    file: Path
    nodes: Sequence[Node]
    """Each kind of node that its K3s has; empty where it has none."""
    findings: Sequence[Finding]


def planned(file: Path, root: Path) -> Planned | SiteAudit:
    """The site of ``file`` as its program publishes it, or what is wrong with it."""
    try:
        spec = load_site(file, root=root)
    except FileError as error:
        return SiteAudit(file.stem, file, problems=error.problems)
    policies = policies_of(root)
    try:
        plain = read_settings(root, spec.site).plain
        recording = recorded(spec, rehearsed(spec, plain, file, root), root)
    except OperationError as error:
        return SiteAudit(spec.site, file, failure=error)
    except Exception as error:
        what = f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
        return SiteAudit(spec.site, file, failure=OperationError(f"The program of {spec.site} stops: {what}"))
    today = datetime.now(UTC).date()
    found = findings_of(recording.resources, policies.settings, today, policies.catalogue)
    configurations = [
        one
        for resource in recording.resources
        if kind_of(resource.type).is_part("K3s")
        for one in resource_of(resource).props.get("configurations", ())
    ]
    roles = {host.role for host in spec.hosts}
    return Planned(spec, file, [_node(one) for one in configurations if one["role"] in roles], found)


def _node(one: Mapping[str, Any]) -> Node:
    flags = effective(one["config"], server=one["role"] == "server", datastore=one["datastore"])
    return Node(f"{one['role']} {one['version']}", one["role"], one["version"], one["datastore"], flags)


def audited(site: Planned | SiteAudit) -> SiteAudit:
    """The verdicts on what a site file plans."""
    if isinstance(site, SiteAudit):
        return site
    return SiteAudit(site.spec.site, site.file, site.nodes, list(rows(site.nodes, site.findings)))


def rows(nodes: Sequence[Node], findings: Sequence[Finding]) -> Iterator[Row]:
    """Every check of the benchmark that the nodes' releases have; none where there are no nodes."""
    newest = max((minor_of(node.version) for node in nodes), default=-1)
    for check in CHECKS if nodes else ():
        if isinstance(check, OtherCheck):
            yield _other(check, findings)
        elif isinstance(check, FileCheck):
            yield _file(check, nodes)
        elif check.since <= newest:
            yield _flag(check, nodes, findings)


def _flag(check: FlagCheck, nodes: Sequence[Node], findings: Sequence[Finding]) -> Row:
    if check.reason is not None and check.reason.kind == "none":
        return Row(check, "n/a", waiver=check.reason.text)
    process = "kube-apiserver" if check.process == "secrets-encryption" else check.process
    concerned = [
        node
        for node in nodes
        if (process in node.flags or process in node.unseen)
        and check.since <= minor_of(node.version)
        and node.datastore in check.datastore
    ]
    if not concerned:
        return Row(check, "n/a", waiver="no node has it with this datastore")
    worst = None
    for node in concerned:
        flags = node.flags.get(check.process, {})
        verdict: Verdict = "unseen" if process in node.unseen else "pass" if check.met(flags) else "fail"
        found = "" if verdict == "unseen" else ", ".join(flags.get(flag, "not set") for flag in check.flags)
        row = Row(check, verdict, found, node.name)
        if worst is None or (row.verdict != "pass" and worst.verdict == "pass"):
            worst = row
    assert worst is not None
    if worst.verdict == "fail" and (waiver := _waiver(check, findings)):
        return Row(check, "waived", worst.found, worst.node, waiver)
    return worst


def _waiver(check: FlagCheck, findings: Iterable[Finding]) -> str:
    """Why a check that fails does not count: the benchmark's own exception of this program, or a waiver of the site."""
    if check.reason is not None:
        return check.reason.text
    return next((one.waiver for one in findings if one.rule == f"host/{check.rule}" and one.waiver), "")


def _file(check: FileCheck, nodes: Sequence[Node]) -> Row:
    concerned = [node for node in nodes if node.modes is not None and (check.agents or node.role == "server")]
    if not concerned:
        return Row(check, "host")
    seen = [
        (node.name, path, mode, owner)
        for node in concerned
        for path, (mode, owner) in (node.modes or {}).items()
        if any(fnmatchcase(path, pattern) for pattern in check.paths)
    ]
    wrong = [one for one in seen if not check.met(one[2], one[3])]
    if not seen:
        return Row(check, "pass", "no such file")
    name, path, mode, owner = (wrong or seen)[0]
    found = owner if check.mode is None else f"{mode:04o}"
    return Row(check, "fail" if wrong else "pass", f"{found} {path}" if wrong else found, name)


def _other(check: OtherCheck, findings: Iterable[Finding]) -> Row:
    if check.reason is not None:
        return Row(check, "n/a", waiver=check.reason.text)
    if "/" not in check.by.partition(":")[0]:
        return Row(check, "manual", waiver=check.by)
    about = [one for one in findings if fnmatchcase(one.rule, check.by) and one.level != "advisory"]
    if any(one.level == "mandatory" for one in about):
        return Row(check, "fail", f"policy {check.by}")
    if about:
        return Row(check, "waived", f"policy {check.by}", waiver=about[0].waiver)
    return Row(check, "pass", f"policy {check.by}")


def flags_of(site: SiteAudit) -> Flags:
    """The flags of each process of a site, those of a server before those of an agent."""
    found: Flags = {}
    for node in sorted(site.nodes, key=lambda one: one.role == "agent"):
        for process, flags in node.flags.items():
            if process != "secrets-encryption":
                found.setdefault(process, dict(sorted(flags.items())))
    return found
