"""A company's own rules and settings, as its commands use them: in this process, in workers, and in the real engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.run.judging import policies_of
from policies.own import catalogue_of
from policies.reference import PAGE
from stacks.catalogue import catalogue
from tests.edge.conftest import Project

_BLOCK = re.compile(r"^```(?:python|yaml)\n# (policies/\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WAIVER = {"rule": "acme/approved-image", "reason": "a trial", "owner": "platform team", "expires": "2099-01-31"}


def write(project: Project, name: str, text: str) -> None:
    path = project.root / "policies" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    for cached in (policies_of, catalogue_of, catalogue):
        cached.cache_clear()


@pytest.fixture
def company(project: Project) -> Project:
    """A project with the pack of docs/policies.md, in which one image of the demo site is not approved."""
    for name, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        write(project, Path(name).name, text)
    write(project, "config.json", '{"edge-resources-mandatory": {"more_registries": ["registry.example.com/models"]}}')
    replace_rules(project, '"docker.io/otel/", ', "")
    return project


def replace_rules(project: Project, old: str, new: str) -> None:
    text = (project.root / "policies" / "own_rules.py").read_text()
    assert old in text
    write(project, "own_rules.py", text.replace(old, new, 1))


def test_check_judges_by_own_rules_too(company: Project) -> None:
    ran = company.edge("check", "demo", "--json")
    (site,) = ran.document["sites"]
    assert ran.code == 1
    assert {one["rule"] for one in site["policies"] if one["level"] == "mandatory"} == {"acme/approved-image"}
    assert "acme/owner" in {one["rule"] for one in site["policies"] if one["level"] == "advisory"}


def test_worker_processes_judge_by_own_rules_too(company: Project) -> None:
    text = (company.sites / "demo.yaml").read_text()
    for name in ("shop-0", "shop-1", "shop-2"):
        (company.sites / f"{name}.yaml").write_text(text.replace("site: demo", f"site: {name}"))
    ran = company.edge("check", "shop-*", "--jobs", "2", "--json")
    rules = [{one["rule"] for one in site["policies"] if one["level"] == "mandatory"} for site in ran.document["sites"]]
    assert rules == [{"acme/approved-image"}] * 3


def test_an_own_rule_can_be_waived_in_a_site_file_and_one_that_nobody_has_cannot(company: Project) -> None:
    company.change("demo", lambda content: content.update(waivers=[WAIVER]))
    ran = company.edge("check", "demo", "--json")
    (site,) = ran.document["sites"]
    assert ran.code == 0, ran.stderr
    assert [one["rule"] for one in site["policies"] if one["level"] == "waived"]
    company.change("demo", lambda content: content.update(waivers=[{**WAIVER, "rule": "acme/approved-imag"}]))
    ran = company.edge("check", "demo")
    assert ran.code == 2
    assert (
        "there is no policy rule `acme/approved-imag`: did you mean `acme/approved-image`?" in ran.stdout + ran.stderr
    )


@pytest.mark.parametrize(
    "command", [("check", "demo"), ("preview", "demo", "--rehearse"), ("up", "demo", "--rehearse", "--yes")]
)
def test_a_broken_file_of_rules_is_one_error_and_bad_input(company: Project, command: tuple[str, ...]) -> None:
    replace_rules(company, "RULES = (", "RULES = (]")
    line = (company.root / "policies" / "own_rules.py").read_text().split("RULES = (]")[0].count("\n") + 1
    ran = company.edge(*command)
    assert ran.code == 2
    assert (ran.stdout + ran.stderr).count(f"policies/own_rules.py:{line}:") == 1


def test_a_pack_without_its_first_file_is_said_and_not_left_out(company: Project) -> None:
    (company.root / "policies" / "PulumiPolicy.yaml").unlink()
    policies_of.cache_clear()
    for command in (("check", "demo"), ("preview", "demo", "--rehearse")):
        ran = company.edge(*command)
        assert ran.code == 2
        assert "own_rules.py would not be used" in ran.stderr


@pytest.mark.engine
def test_the_engine_judges_by_own_rules_and_counts_them(company: Project) -> None:
    ran = company.edge("preview", "demo", "--rehearse", "--json")
    assert ran.code == 1
    assert {one["rule"] for one in ran.document["policies"] if one["level"] == "mandatory"} == {"acme/approved-image"}
    judged = ran.document["judged"]
    assert judged["complete"], judged
    assert judged["rules"] == len(policies_of(company.root).catalogue)
    company.change("demo", lambda content: content.update(waivers=[WAIVER]))
    ran = company.edge("preview", "demo", "--rehearse", "--json")
    assert ran.code == 0, ran.stderr
    assert {one["rule"] for one in ran.document["policies"] if one["level"] == "waived"} == {"acme/approved-image"}
