"""Findings as SARIF 2.1.0, which code hosts show beside the lines of a pull request. Pure, except for `write`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError
from policies.rules import Catalogue, Entry
from stacks.project import DISTRIBUTION

if TYPE_CHECKING:
    from edge.run.check import PolicyResult, Report, SiteCheck
    from edge.run.manifests import ManifestReport
    from sitefile.problems import Problem

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"mandatory": "error", "advisory": "warning", "waived": "error"}
"""A waived finding keeps its level, and has a suppression with the waiver's words."""
_MOST_RESULTS, _MOST_TAGS = 25_000, 20
"""GitHub refuses a log with more (docs.github.com, "SARIF support for code scanning")."""
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}
"""Severities as the numbers by which code hosts sort."""


@dataclass(frozen=True)
class Result:
    """One finding. ``line`` and ``column`` are 0 where they are not known."""

    rule: str
    level: str
    message: str
    file: str
    line: int = 0
    column: int = 0
    subject: str = ""
    """The object or resource, and its property."""
    waiver: str = ""

    def as_dict(self, index: dict[str, int]) -> dict[str, Any]:
        physical: dict[str, Any] = {"artifactLocation": _location(self.file)}
        if self.line:
            physical["region"] = {"startLine": self.line, "startColumn": max(self.column, 1)}
        location: dict[str, Any] = {"physicalLocation": physical}
        if self.subject:
            location["logicalLocations"] = [{"fullyQualifiedName": self.subject, "kind": "resource"}]
        # Lines move; the same finding on the same property stays the same one.
        same = hashlib.sha256("\0".join((self.rule, self.file, self.subject, self.message)).encode()).hexdigest()
        found: dict[str, Any] = {
            "ruleId": self.rule,
            "level": _LEVELS[self.level],
            "message": {"text": self.message},
            "locations": [location],
            "partialFingerprints": {"edgeFinding/v1": same},
        }
        if self.rule in index:
            found["ruleIndex"] = index[self.rule]
        if self.waiver:
            found["suppressions"] = [{"kind": "external", "status": "accepted", "justification": self.waiver}]
        return found


def document(results: Sequence[Result], rules: Iterable[Entry], problems: Sequence[str] = ()) -> dict[str, Any]:
    """A SARIF log with one run. ``problems`` are what could not be read, and so was not judged."""
    found = len(results)
    if found > _MOST_RESULTS:
        results = sorted(results, key=_grave)[:_MOST_RESULTS]
    listed = [_rule(rule) for rule in rules]
    index = {rule["id"]: number for number, rule in enumerate(listed)}
    notified = [{"level": "error", "message": {"text": problem}} for problem in problems]
    if found > len(results):
        left = f"{found - len(results)} of {found} findings are left out, the lightest ones: check fewer sites at once"
        notified.append({"level": "warning", "message": {"text": left}})
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "edge", "semanticVersion": version(DISTRIBUTION), "rules": listed},
                },
                "invocations": [{"executionSuccessful": not problems, "toolExecutionNotifications": notified}],
                "results": [result.as_dict(index) for result in results],
            }
        ],
    }


def _grave(result: Result) -> int:
    """What stops a run first; what a waiver allows last."""
    return ("mandatory", "advisory", "waived").index(result.level)


def of_manifests(report: ManifestReport) -> dict[str, Any]:
    """What `edge check --manifests` found."""
    results = [
        Result(
            one.finding.rule,
            one.finding.level,
            _message(one.name, one.finding.path, one.finding.message, one.finding.remedy),
            one.place.file,
            one.place.line,
            one.place.column,
            _subject(one.name, one.finding.path),
            one.finding.waiver,
        )
        for one in report.found
    ]
    return document(results, report.catalogue, report.problems)


def of_sites(report: Report, catalogue: Catalogue) -> dict[str, Any]:
    """What `edge check` found: errors in files by line, findings of policies by the file of their site."""
    results = [_of_problem(problem, "mandatory") for problem in report.problems]
    for site in report.stacks:
        results += [_of_problem(problem, "advisory") for problem in site.advice]
        results += [_of_policy(site, finding) for finding in site.policies]
        for refused in site.graph:
            name = _named(refused.urn)
            message = _message(name, refused.property, refused.reason, "")
            subject = _subject(name, refused.property)
            results.append(Result("provider/refused", "mandatory", message, str(site.file), 1, 1, subject))
    return document(results, catalogue)


def write(file: Path, log: dict[str, Any]) -> None:
    """Raises ``OperationError`` where the file cannot be written."""
    try:
        file.write_text(json.dumps(log, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OperationError(f"--sarif: {file} cannot be written: {error.strerror}", code=BAD_INPUT) from None


def _of_problem(problem: Problem, level: str) -> Result:
    parts = (problem.what, f"expected {problem.expected}" if problem.expected else "", problem.remedy)
    text = ". ".join(part for part in parts if part)
    rule = f"site-file/{problem.code or 'problem'}"
    return Result(rule, level, text, str(problem.file), problem.line, problem.column, problem.path)


def _of_policy(site: SiteCheck, finding: PolicyResult) -> Result:
    name = _named(finding.urn)
    message = _message(name, finding.path, finding.message, finding.remedy)
    subject = _subject(name, finding.path)
    # What the program makes of a file has no line in it.
    return Result(finding.rule, finding.level, message, str(site.file), 1, 1, subject, finding.waiver)


def _rule(rule: Entry) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": f"{rule.title} {rule.why}"},
        "help": {"text": rule.remedy},
        "helpUri": rule.url,
        "defaultConfiguration": {"level": _LEVELS[rule.level]},
        "properties": {
            "tags": ["security", rule.group, *_framework_tags(rule)],
            "security-severity": _SCORES[rule.severity],
        },
    }


def _framework_tags(rule: Entry) -> list[str]:
    return [f"{one.framework} {one.section}" for one in rule.references][: _MOST_TAGS - 2]


def _message(name: str, path: str, message: str, remedy: str) -> str:
    where = f"{name}: {path}" if path else f"{name}:"
    return f"{where} {message}. {remedy}".strip()


def _subject(name: str, path: str) -> str:
    return f"{name}: {path}" if path else name


def _named(urn: str) -> str:
    return urn.split("::", 3)[-1] or "the stack"


def _location(file: str) -> dict[str, Any]:
    """Relative to the current folder, which is the repository's where a code host runs this."""
    path = Path(os.path.relpath(file)) if Path(file).is_absolute() else Path(file)
    outside = path.parts[:1] == ("..",)
    if outside:
        return {"uri": Path(file).resolve().as_uri()}
    return {"uri": path.as_posix(), "uriBaseId": "%SRCROOT%"}
