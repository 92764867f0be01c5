"""Each refusal has a site file that shows it, with the position and the message that a user sees.

A refusal is a line of code where a rule makes a ``Finding`` or a spec's validator raises. All fixtures are loaded once,
and each such line must have led to a problem that the user sees.
"""

from __future__ import annotations

import ast
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from components import waiver as waiver_rules
from sitefile import checked_file
from sitefile.explanation import explain
from sitefile.problems import FileError, Finding, Problem
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_all, load_site, site_checker, site_files
from stacks.parts import PARTS
from stacks.rules import addresses as address_rules
from stacks.rules import air_gap, between_sites, inherited, network
from stacks.rules import hosts as host_rules
from stacks.rules import site as site_rules

INVALID = PROJECT_ROOT / "tests" / "fixtures" / "sites" / "invalid"
ADVICE = INVALID.parent / "advice"
_OF_SPECS = (".spec", ".flux.sources", ".flux.signers", ".flux.receivers")
"""Ends of the names of modules with specs. Flux' are in four."""
RULES = (
    *(address_rules, air_gap, between_sites, host_rules, inherited, network, site_rules, waiver_rules),
    *(module for part in PARTS if hasattr(module := sys.modules[type(part).__module__], "Finding")),
    *(
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith("components.") and name.endswith(_OF_SPECS) and hasattr(module, "Finding")
    ),
)
"""Modules with rules: those between parts, each part's own, and those between the values of one block."""

_COMPONENTS = PROJECT_ROOT / "components"
SPECS = (
    *sorted(_COMPONENTS.rglob("spec.py")),
    *(_COMPONENTS / name for name in ("types.py", "urls.py")),
    *(_COMPONENTS / "gitops" / "flux" / name for name in ("sources.py", "signers.py", "receivers.py")),
)

SHOWN_ELSEWHERE = {
    "cannot unlock a disk by TPM": "test_host_rules.py: no hardware of the catalogue has a TPM and so little memory",
    "the waiver of `{waiver.rule}` has expired": "test_check.py of edge: what has expired depends on the day",
    "covers nothing: the rule is kept": "test_check.py of edge: what is used, only the policies say",
    "whose store of authorities is not known here": "test_network_part.py: every system of the catalogue has one",
    "no source is named for": "test_shared_files.py: no site file holds a hardware profile",
    "the description of": "test_shared_files.py: no profile of the project is broken",
    "data.broken[key": "test_shared_files.py, likewise",
    'data.broken["accelerators"': "test_shared_files.py, likewise",
    "its description has errors": "test_shared_files.py: no model of the project is broken",
}
"""Words of a refusal that no site file can cause -> why."""

Line = tuple[Path, int]


@dataclass
class Seen:
    """Lines of code that contributed to a refusal."""

    findings: set[Line] = field(default_factory=set)
    raised: set[Line] = field(default_factory=set)


@dataclass(frozen=True)
class Refusal:
    file: Path
    first: int
    last: int
    source: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(PROJECT_ROOT)}:{self.first}: {' '.join(self.source.split())[:90]}"

    def among(self, lines: set[Line]) -> bool:
        return any((self.file, number) in lines for number in range(self.first, self.last + 1))


def _problems_of_all_fixtures() -> Iterator[Sequence[Problem]]:
    for path in site_files(folder=INVALID):
        if path.stem == "many-faults":
            continue  # It shows several faults together; each of them needs a file of its own.
        with pytest.raises(FileError) as refused:
            load_site(path)
        yield refused.value.problems
    checker = site_checker(folder=ADVICE)
    for path in site_files(folder=ADVICE):
        yield checker.check(path).advice
    for folder in sorted(path for path in INVALID.iterdir() if path.is_dir()):
        yield load_all(folder=folder)[1]


@pytest.fixture(scope="module")
def seen() -> Seen:
    result = Seen()
    made: list[tuple[str, set[Line]]] = []

    def recorded(*arguments: Any, **named: Any) -> Finding:
        finding = Finding(*arguments, **named)
        made.append((finding.what, set(_callers(sys._getframe(1)))))
        return finding

    def explained(errors: Sequence[Mapping[str, Any]], *rest: Any) -> list[Problem]:
        for error in errors:
            cause = (error.get("ctx") or {}).get("error")
            if isinstance(cause, ValueError):
                frames = traceback.extract_tb(cause.__traceback__)
                result.raised |= {(Path(frame.filename), frame.lineno or 0) for frame in frames}
        return explain(errors, *rest)

    with pytest.MonkeyPatch.context() as patch:
        for module in RULES:
            patch.setattr(module, "Finding", recorded)
        patch.setattr(checked_file, "explain", explained)
        for problems in _problems_of_all_fixtures():
            for what, lines in made:
                # A rule may add to the text of a finding, such as the names of the hosts.
                if any(problem.what.startswith(what) for problem in problems):
                    result.findings |= lines
            made.clear()
    return result


def _callers(frame: FrameType | None) -> Iterator[Line]:
    """The lines that led here, so that a finding made by a helper also counts for the caller of the helper."""
    while frame is not None:
        yield Path(frame.f_code.co_filename), frame.f_lineno
        frame = frame.f_back


def _findings(file: Path) -> Iterator[Refusal]:
    """Calls of ``Finding``, and of the functions that return one."""
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    makers = {"Finding"} | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.Name) and node.returns.id == "Finding"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
            yield _refusal(file, text, node)


def _raised(file: Path) -> Iterator[Refusal]:
    text = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Raise):
            yield _refusal(file, text, node)


def _refusal(file: Path, text: str, node: ast.expr | ast.stmt) -> Refusal:
    return Refusal(file, node.lineno, node.end_lineno or node.lineno, ast.get_source_segment(text, node) or "")


FINDINGS = [refusal for module in RULES for refusal in _findings(Path(module.__file__ or ""))]
RAISED = [refusal for file in SPECS for refusal in _raised(file)]


def _shown_elsewhere(refusal: Refusal) -> bool:
    return any(words in refusal.source for words in SHOWN_ELSEWHERE)


def test_every_finding_of_the_rules_has_a_fixture(seen: Seen) -> None:
    silent = [str(r) for r in FINDINGS if not r.among(seen.findings) and not _shown_elsewhere(r)]
    assert silent == [], f"no file below {INVALID.relative_to(PROJECT_ROOT)} shows what is refused here"


def test_every_refusal_of_the_specs_has_a_fixture(seen: Seen) -> None:
    silent = [str(r) for r in RAISED if not r.among(seen.raised) and not _shown_elsewhere(r)]
    assert silent == [], f"no file below {INVALID.relative_to(PROJECT_ROOT)} shows what is refused here"


def test_each_exception_is_still_needed(seen: Seen) -> None:
    for words in SHOWN_ELSEWHERE:
        (refusal,) = (r for r in (*FINDINGS, *RAISED) if words in r.source)
        assert not refusal.among(seen.findings | seen.raised), f"{refusal} needs no exception any more"


def test_the_refusals_are_found() -> None:
    # After a rename of `Finding` or a move of the rules, these tests must not pass because they find nothing.
    assert len(FINDINGS) > 35
    assert len(RAISED) > 30
