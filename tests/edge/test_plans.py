"""What was approved is what is applied: plan files through the real engine, rehearsed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.run import plans
from edge.run.events import Diagnostic, Run
from edge.run.failure import OperationError
from stacks.configuration import PLACEHOLDER
from tests.edge.conftest import Project


@pytest.mark.engine
def test_a_plan_is_applied_and_holds_no_secret(project: Project, tmp_path: Path) -> None:
    plan = tmp_path / "demo.plan"
    planned = project.edge("preview", "demo", "--rehearse", "--save-plan", plan)
    assert planned.code == 0, planned.stdout + planned.stderr
    assert PLACEHOLDER not in plan.read_text()
    assert plan.stat().st_mode & 0o777 == 0o600
    done = project.edge("up", "demo", "--rehearse", "--plan", plan, "--json")
    assert done.code == 0, done.stdout + done.stderr
    # The engine previews again; what it did is told once.
    assert done.document["operation"] == "up"
    assert done.document["counts"]["create"] == len(done.document["resources"])
    assert done.stderr.count("create   demo-a-base") == 1
    assert json.loads(project.edge("preview", "demo", "--rehearse", "--json").stdout)["counts"]["create"] == 0


@pytest.mark.engine
def test_what_exceeds_the_plan_is_refused_before_anything_is_done(project: Project, tmp_path: Path) -> None:
    project.edge("up", "demo", "--rehearse", "--json")
    plan = tmp_path / "demo.plan"
    project.change("demo", lambda site: site["telemetry"].update(offline_hours=48))
    assert project.edge("preview", "demo", "--rehearse", "--save-plan", plan).code == 0
    before = project.state.read_text()
    project.change("demo", lambda site: site["hosts"][0].update(address="10.99.0.99"))
    refused = project.edge("up", "demo", "--rehearse", "--plan", plan)
    assert refused.code == 1
    assert "not as planned: properties changed: kubernetes_endpoint" in refused.stdout
    assert "Nothing was applied." in refused.stdout
    assert "edge preview demo --save-plan FILE" in refused.stdout
    assert "updated" not in refused.stdout, "a preview is told as if it had been applied"
    assert resources(project.state.read_text()) == resources(before)


def resources(state: str) -> object:
    return json.loads(state)["checkpoint"]["latest"]["resources"]


@pytest.mark.engine
def test_plain_pulumi_takes_the_same_plan(project: Project, tmp_path: Path) -> None:
    plan = tmp_path / "demo.plan"
    assert project.edge("preview", "demo", "--rehearse", "--save-plan", plan).code == 0
    project.pulumi("up", "--yes", "--plan", str(plan))
    project.pulumi("preview", "--expect-no-changes")


@pytest.mark.engine
def test_a_preview_that_is_refused_leaves_the_last_plan_as_it_is(project: Project, tmp_path: Path) -> None:
    plan = tmp_path / "demo.plan"
    plan.write_text("the last one")
    project.change("demo", lambda site: site["telemetry"].update(image="evil.example.com/otel@sha256:" + "0" * 64))
    assert project.edge("preview", "demo", "--rehearse", "--save-plan", plan).code == 1
    assert plan.read_text() == "the last one"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["demo.plan"]


PLANNED: dict[str, dict[str, str]] = {"urn:pulumi:demo::edge::pulumi:pulumi:Stack::edge-demo": {}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("no JSON", "is not a plan"),
        ("[1]", "is not a plan"),
        ('{"resourcePlans": {}}', "is a plan of another stack, not of demo"),
        (
            json.dumps({"resourcePlans": {"urn:pulumi:prod::edge::a:b:C::x": {}}, "edge": {"site": "prod"}}),
            "is a plan of prod, not of demo",
        ),
        (
            json.dumps({"resourcePlans": PLANNED, "edge": {"site": "demo", "mode": "rehearsal"}}),
            "is a plan of a rehearsal",
        ),
    ],
)
def test_a_file_that_is_no_plan_of_this_run_is_bad_input(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "plan"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OperationError) as refused:
        plans.require(file, "demo", "real")
    assert (refused.value.code, said in refused.value.what) == (2, True)


def test_a_violation_names_the_properties_and_none_of_their_values() -> None:
    said = "resource violates plan: properties changed: ~~stdin[{hunter2}!={hunter3}], =~create[{hunter2}]"
    run = Run(diagnostics=[Diagnostic("error", "urn", said)])
    assert plans.explain(run, "demo", applied=True) is not None
    assert run.diagnostics[0].message == "not as planned: properties changed: stdin, create"


@pytest.mark.parametrize(
    "said",
    [
        "no plan for resource urn:pulumi:demo::edge::a:b:C::x",
        "delete is not allowed by the plan: no steps were expected for this resource",
    ],
)
def test_what_is_not_in_the_plan_at_all_exceeds_it_too(said: str) -> None:
    run = Run(diagnostics=[Diagnostic("error", "", said)])
    found = plans.explain(run, "demo", applied=False)
    assert found is not None
    assert "Nothing was applied" in found.what
    assert plans.explain(Run(diagnostics=[Diagnostic("error", "", "disk is full")]), "demo", applied=True) is None
