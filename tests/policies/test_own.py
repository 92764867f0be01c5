"""A company's own rules: the example of docs/policies.md, and what is wrong with a file of rules."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from policies.own import catalogue_of, rule_ids
from policies.pack import policies
from policies.recorded import findings_of
from policies.reference import PAGE
from policies.rules import CATALOGUE, DEFAULT_SETTINGS, GROUPS, Resource, evaluate, evaluate_stack
from policies.settings import POLICIES, TOGETHER
from sitefile.problems import FileError, Problem
from tests.policies.cases import base, put
from tests.policies.test_recorded import TODAY, Recorded

_BLOCK = re.compile(r"^```(?:python|yaml)\n# (policies/\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILES = dict(_BLOCK.findall(PAGE.read_text(encoding="utf-8")))


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir()
    write(folder, FILES["policies/own_rules.py"])
    return folder


def write(folder: Path, text: str) -> None:
    (folder / "own_rules.py").write_text(text)
    catalogue_of.cache_clear()


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "own_rules.py").read_text()
    assert old in text
    write(folder, text.replace(old, new, 1))


def changed(name: str, path: str, value: Any) -> Resource:
    props = dict(base(name).props)
    put(props, path, value)
    return base(name, props=props)


def refused(folder: Path) -> Problem:
    with pytest.raises(FileError) as error:
        catalogue_of(folder)
    (problem,) = error.value.problems
    assert problem.expected
    assert problem.remedy
    return problem


def found(folder: Path, resource: Resource) -> set[tuple[str, str]]:
    catalogue = catalogue_of(folder)
    return {(one.rule, one.level) for one in evaluate_stack([resource], DEFAULT_SETTINGS, catalogue)}


def test_a_pack_without_own_rules_has_those_of_the_program(tmp_path: Path) -> None:
    assert catalogue_of(tmp_path) is CATALOGUE


def test_own_rules_are_beside_those_of_the_program(pack: Path) -> None:
    catalogue = catalogue_of(pack)
    assert [rule.id for rule in catalogue] != [rule.id for rule in CATALOGUE]
    assert {rule.id for rule in catalogue} == {rule.id for rule in CATALOGUE} | {"acme/approved-image", "acme/owner"}
    assert rule_ids(pack) == tuple(rule.id for rule in catalogue)
    assert catalogue.groups == (*GROUPS, "acme")
    deployment = base("deployment")
    assert found(pack, deployment) == {("acme/approved-image", "mandatory")}
    assert evaluate(deployment) == (), "the program's own catalogue knows nothing of them"


def test_a_rule_of_the_program_still_counts_beside_own_ones(pack: Path) -> None:
    shares = changed("deployment", "spec.template.spec.hostNetwork", True)
    assert ("workload/no-host-namespaces", "mandatory") in found(pack, shares)


def test_the_packs_policies_run_own_rules_too(pack: Path) -> None:
    found = policies(DEFAULT_SETTINGS, catalogue=catalogue_of(pack))
    assert [policy.name for policy in found] == list(POLICIES)
    (mandatory, advisory) = (found[0], found[1])
    assert "acme/approved-image" in str(mandatory.remediation_steps)
    assert "acme/owner" in str(advisory.remediation_steps)


def test_an_own_rule_can_be_waived(pack: Path) -> None:
    waiver = {"rule": "acme/approved-image", "reason": "x", "owner": "y", "expires": date.max.isoformat()}
    deployment = base("deployment")
    stack = [
        Recorded({"waivers": [waiver]}, "edge:index:EdgeSite"),
        Recorded(dict(deployment.props), deployment.type),
    ]
    said = {one.rule: one.level for one in findings_of(stack, DEFAULT_SETTINGS, TODAY, catalogue_of(pack))}
    assert said["acme/approved-image"] == "waived"


@pytest.mark.parametrize("said", ["1 / 0", "import sys; sys.exit(0)", "return None", "return [3]"])
def test_an_own_rule_that_fails_is_a_mandatory_finding_and_cannot_be_waived(pack: Path, said: str) -> None:
    change(
        pack, 'owner = subject.get("metadata", "labels", "acme.example.com/owner")\n', f"{said}\n    owner = subject\n"
    )
    change(pack, "    if owner.text() is None:\n", "    if False:\n")
    change(pack, 'yield Violation(owner.path, "is not there, so nobody knows whom to call")', "pass")
    (finding,) = evaluate_stack([base("namespace")], DEFAULT_SETTINGS, catalogue_of(pack))[:1]
    assert (finding.rule, finding.level, finding.fault) == ("acme/owner", "mandatory", True)


@pytest.mark.parametrize("said", ["1 / 0", "exit(0)"])
def test_an_own_rule_that_cannot_tell_what_it_applies_to_is_a_mandatory_finding(pack: Path, said: str) -> None:
    applies = 'applies=lambda kind: kind.provider == "kubernetes" and kind.name == "Namespace"'
    change(pack, applies, f"applies=lambda _: {said}")
    faults = [one for one in evaluate(base("deployment"), catalogue=catalogue_of(pack)) if one.fault]
    assert [(one.rule, one.level) for one in faults] == [("acme/owner", "mandatory")]


STACK = """
from policies.rules import StackRule, Violation

def check(subjects):
    for subject in subjects:
        if len(subjects) > 1:
            yield subject, Violation("metadata.name", "is not the only namespace")

STACK_RULES = [
    StackRule(
        id="acme/one-namespace", level="mandatory", severity="low", title="One.", why="x", remedy="y", url="z",
        applies=lambda kind: kind.name == "Namespace", check=check,
    )
]
"""


def test_an_own_rule_about_the_whole_stack_sees_all_of_it(pack: Path) -> None:
    write(pack, STACK)
    catalogue = catalogue_of(pack)
    one, other = base("namespace"), changed("namespace", "metadata.name", "other")
    said = [found.rule for found in evaluate_stack([one, other], DEFAULT_SETTINGS, catalogue)]
    assert said.count("acme/one-namespace") >= 1
    assert "acme/one-namespace" not in [f.rule for f in evaluate_stack([one], DEFAULT_SETTINGS, catalogue)]
    together = next(policy for policy in policies(DEFAULT_SETTINGS, catalogue=catalogue) if policy.name == TOGETHER)
    assert "acme/" in str(together.remediation_steps)


def test_a_stack_rule_that_fails_to_apply_is_a_mandatory_finding(pack: Path) -> None:
    write(pack, STACK.replace('kind.name == "Namespace"', "1 / 0"))
    faults = [one for one in evaluate_stack([base("deployment")], DEFAULT_SETTINGS, catalogue_of(pack)) if one.fault]
    assert [(one.rule, one.level) for one in faults] == [("acme/one-namespace", "mandatory")]


OWNER = '        id="acme/owner",'
LIST = 'APPROVED = ("docker.io/otel/", "docker.io/rancher/", "nvcr.io/nvidia/", "registry.example.com/")'
LINE = {text: number for number, text in enumerate(FILES["policies/own_rules.py"].splitlines(), 1)}


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("RULES = (", "RULES = (]", "RULES = (", "not Python"),
        ("APPROVED = (", "import nothing_of_this_name\nAPPROVED = (", LIST, "own_rules.py stops: ModuleNotFoundError"),
        ("RULES = (", "import sys\nsys.exit(0)\nRULES = (", None, "own_rules.py stops: SystemExit: 0"),
        ('id="acme/owner"', 'id="workload/seccomp"', OWNER, "there is a rule `workload/seccomp` already"),
        ('id="acme/owner"', 'id="acme/approved-image"', None, "there is a rule `acme/approved-image` already"),
        ('id="acme/owner"', 'id="owner"', OWNER, "'owner' is no id of a rule"),
        ('id="acme/owner"', 'id="waived/owner"', OWNER, "the group `waived`"),
        ('id="acme/owner"', 'id="network-stack/owner"', OWNER, "the group `network-stack`"),
        ('level="advisory"', 'level="advise"', OWNER, "`acme/owner`: level is 'advise'"),
        ('severity="low"', 'severity="lowest"', OWNER, "`acme/owner`: severity is 'lowest'"),
        ('title="Every namespace has an owner."', 'title=" "', OWNER, "`acme/owner`: title is no text"),
        ("check=owned", 'check="owned"', OWNER, "`acme/owner`: check is no function"),
        ("RULES = (", "RULES = 3\nOTHERS = (", "RULES = (", "`RULES` is a int"),
        ("RULES = (", "RULES = ('x',", "RULES = (", "a str is no `Rule`"),
        ("RULES = (", "STACK_RULES = (", None, "a Rule is no `StackRule`"),
        ("RULES = (", "MY_RULES = (", None, "own_rules.py defines no rule"),
        ('title="Every namespace has an owner.",', "", None, "own_rules.py stops: TypeError"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_error_with_file_and_line(
    pack: Path, old: str, new: str, line: str | None, said: str
) -> None:
    change(pack, old, new)
    problem = refused(pack)
    assert problem.file.as_posix() == "policies/own_rules.py"
    assert said in problem.what
    if line is not None:
        assert problem.line == LINE[line]


def test_a_stack_rule_cannot_be_advisory_since_the_pack_has_no_such_policy(pack: Path) -> None:
    write(pack, STACK.replace('level="mandatory"', 'level="advisory"'))
    assert "a rule about a whole stack is mandatory" in refused(pack).what


def test_a_module_of_the_same_name_is_not_in_the_way(
    pack: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere: Any = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "own_rules.py").write_text("RULES = ()\n")
    monkeypatch.syspath_prepend(str(elsewhere))
    assert "acme/owner" in rule_ids(pack)
