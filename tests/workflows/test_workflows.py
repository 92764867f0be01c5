"""The workflows: what they may do, and the shell of each job, run for real in a clone of a local bare repository."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.environment import PROJECT_ROOT
from engine.obtain.pin import EngineError
from tests.edge.clones import Clone, new_clone
from tests.workflows.lint import WORKFLOWS, actionlint, judge
from tests.workflows.runner import Runner, jobs, publish, step_named, steps

FILES = sorted(WORKFLOWS.glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())
    return found


# What they may do.


@pytest.fixture(scope="module")
def linter() -> Path:
    try:
        return actionlint()
    except EngineError as error:
        pytest.skip(str(error))


def test_actionlint_and_shellcheck_find_nothing(linter: Path) -> None:
    done = judge(*FILES)
    assert (done.returncode, done.stdout) == (0, "")


def test_actionlint_runs_for_real(linter: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo $x\n")
    assert "SC2086" in judge(wrong).stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_action_is_pinned_to_a_commit(file: Path) -> None:
    used = re.findall(r"uses: (\S+)( # v[\d.]+)?", file.read_text())
    assert used
    for action, version in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert version, f"{action} has no comment with its version"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_workflow_begins_without_rights_to_write(file: Path) -> None:
    document = workflow(file.stem)
    assert document["permissions"] in ({}, {"contents": "read"})
    assert "pull_request_target" not in file.read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_expression_stands_within_a_script(file: Path) -> None:
    """What somebody calls a branch would be run. Values come by the environment."""
    for step in steps(workflow(file.stem)):
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_failure_within_a_pipe_fails_the_step(file: Path) -> None:
    assert workflow(file.stem)["defaults"]["run"]["shell"] == "bash"


def test_a_preview_of_a_pull_request_has_no_secret_and_leaves_no_credential() -> None:
    text = (WORKFLOWS / "pull-request.yml").read_text()
    assert "secrets." not in text
    assert "vars." not in text
    assert all("permissions" not in job for job in jobs(workflow("pull-request")))
    (checkout,) = (step for step in steps(workflow("pull-request")) if "actions/checkout" in step.get("uses", ""))
    assert checkout["with"]["persist-credentials"] is False


def test_what_writes_to_a_pull_request_runs_nothing_of_it() -> None:
    document = workflow("comment")
    for step in steps(document):
        assert "checkout" not in step.get("uses", "")
        assert not re.search(r"\bmake\b|\bedge\b(?! pr)|python", step.get("run", ""))
    (job,) = jobs(document)
    assert job["permissions"] == {"actions": "read", "pull-requests": "write"}


def test_one_site_is_never_applied_twice_at_a_time_and_never_stops_another() -> None:
    for name in ("plan", "apply"):
        job = workflow("apply")["jobs"][name]
        assert job["concurrency"] == {"group": "site-${{ matrix.site }}"}
        assert job["strategy"]["fail-fast"] is False


def test_what_is_applied_waits_for_an_approval_and_is_the_plan() -> None:
    job = workflow("apply")["jobs"]["apply"]
    assert job["environment"] == "sites"
    assert 'edge up "$SITE" --plan "plan-$SITE.json" --yes' in job["steps"][-1]["run"]


# Their shell.


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """The repository has been pushed to a bare one, and this is another clone of that."""
    made = new_clone(tmp_path / "author")
    subprocess.run(["git", "clone", "--quiet", "--bare", made.root, tmp_path / "bare.git"], check=True)
    subprocess.run(["git", "clone", "--quiet", tmp_path / "bare.git", tmp_path / "runner"], check=True)
    place = tmp_path / "place"
    place.mkdir()
    own = Clone(tmp_path / "runner")
    # What `make setup` leaves: an `edge` that runs the clone's own code.
    (own.root / ".venv" / "bin").mkdir(parents=True)
    edge = own.root / ".venv" / "bin" / "edge"
    edge.write_text(f'#!/bin/bash\nPYTHONPATH={own.root} exec {sys.executable} -m edge.cli "$@"\n')
    edge.chmod(0o755)
    return Runner(own, place)


PREVIEW = {"github.event.pull_request.number": "7", "github.event.pull_request.base.sha": "HEAD~1"}


@pytest.mark.engine
def test_the_job_of_a_pull_request_writes_the_comment_and_its_number(runner: Runner) -> None:
    runner.clone.replace("stacks/sites/prod.yaml", "10.20.0.12", "10.20.0.22")
    runner.clone.commit()
    done = runner.run(step_named(workflow("pull-request"), "Preview the sites that change"), PREVIEW)
    assert done.returncode == 0, done.stderr
    result = runner.clone.root / "result"
    assert (result / "number").read_text() == "7\n"
    assert "1 of" in (result / "comment.md").read_text()
    shown = runner.run(step_named(workflow("pull-request"), "Show it here too"), {})
    assert shown.returncode == 0
    assert runner.told("GITHUB_STEP_SUMMARY") == (result / "comment.md").read_text()


@pytest.mark.engine
def test_the_job_of_a_pull_request_with_a_broken_site_fails_and_still_writes_the_comment(runner: Runner) -> None:
    runner.clone.replace("stacks/sites/prod.yaml", "tier:", "teir:")
    runner.clone.commit()
    checked = runner.run(step_named(workflow("pull-request"), "Check all sites and their policies"), {})
    assert checked.returncode == 2
    done = runner.run(step_named(workflow("pull-request"), "Preview the sites that change"), PREVIEW)
    assert done.returncode == 1
    assert "Not possible as it is" in (runner.clone.root / "result" / "comment.md").read_text()


def test_the_first_push_writes_a_comment_and_the_next_one_updates_it(runner: Runner) -> None:
    (first,) = publish(runner, workflow("comment"), "7\n")
    assert first.startswith("api --method POST repos/we/sites/issues/7/comments")
    (second,) = publish(runner, workflow("comment"), "7\n", comments="99\\n100\\n")
    assert second.startswith("api --method PATCH repos/we/sites/issues/comments/99")


def test_a_pull_request_cannot_write_to_another_one(runner: Runner) -> None:
    assert publish(runner, workflow("comment"), "8\n", head="another commit") == []


@pytest.mark.parametrize("number", ["7; rm -rf /", "$(id)", "", "../7"])
def test_what_is_no_number_is_written_nowhere(number: str, runner: Runner) -> None:
    assert publish(runner, workflow("comment"), number) == []


@pytest.mark.engine
def test_after_a_merge_the_sites_that_change_are_planned_and_a_refused_one_is_not(runner: Runner) -> None:
    runner.clone.replace("stacks/sites/prod.yaml", "10.20.0.12", "10.20.0.22")
    runner.clone.replace("stacks/sites/demo.yaml", "tier:", "teir:")
    runner.clone.commit()
    done = runner.run(step_named(workflow("apply"), "Sites that change"), {"github.event.before": "HEAD~1"})
    assert done.returncode == 0, done.stderr
    assert runner.told("GITHUB_OUTPUT") == 'sites=["prod"]\n'
    assert "::error::demo is refused" in done.stdout


def test_the_plan_of_a_site_is_shown_to_its_reviewers_and_applied_as_it_is(runner: Runner) -> None:
    """`edge` itself is not run here: a real preview needs hosts. The lab's tests save and apply plans."""
    asked = runner.place / "asked"
    edge = runner.clone.root / ".venv" / "bin" / "edge"
    edge.write_text(f'#!/bin/bash\necho "$*" >>{asked}\necho "preview of $2"\nexit ${{FAILS:-0}}\n')
    values = {
        "matrix.site": "prod",
        "secrets.PULUMI_ACCESS_TOKEN": "t",
        "secrets.PULUMI_CONFIG_PASSPHRASE": "",
        "vars.PULUMI_BACKEND_URL": "",
    }
    assert runner.run(step_named(workflow("apply"), "Preview"), values).returncode == 0
    assert runner.run(step_named(workflow("apply"), "Apply exactly that plan"), values).returncode == 0
    assert asked.read_text().splitlines() == [
        "preview prod --save-plan plan-prod.json",
        "up prod --plan plan-prod.json --yes",
    ]
    assert runner.told("GITHUB_STEP_SUMMARY") == "### prod\n```\npreview of prod\n```\n"


@pytest.mark.parametrize(("name", "step"), [("apply", "Preview"), ("drift", "Probe all hosts")])
def test_a_failed_step_fails_its_job_and_is_shown(name: str, step: str, runner: Runner) -> None:
    edge = runner.clone.root / ".venv" / "bin" / "edge"
    edge.write_text("#!/bin/bash\necho what failed\nexit 1\n")
    values = dict.fromkeys(
        [
            *("matrix.site", "vars.PULUMI_BACKEND_URL"),
            *("secrets.PULUMI_ACCESS_TOKEN", "secrets.PULUMI_CONFIG_PASSPHRASE"),
        ],
        "prod",
    )
    done = runner.run(step_named(workflow(name), step), values)
    assert done.returncode == 1
    assert "what failed" in runner.told("GITHUB_STEP_SUMMARY")


def test_no_more_jobs_are_asked_for_than_github_runs(runner: Runner) -> None:
    sites = [{"site": f"store-{number}"} for number in range(257)]
    edge = runner.clone.root / ".venv" / "bin" / "edge"
    document = json.dumps({"sites": sites, "refused": []})
    edge.write_text(f"#!/bin/bash\necho '{document}'\n")
    done = runner.run(step_named(workflow("apply"), "Sites that change"), {"github.event.before": "HEAD~1"})
    assert done.returncode == 1
    assert "at most 256" in done.stdout


# The same for GitLab.

GITLAB = PROJECT_ROOT / ".gitlab-ci.yml"


def test_the_preview_of_a_merge_request_has_no_token_and_what_has_one_checks_nothing_out() -> None:
    document = yaml.safe_load(GITLAB.read_text())
    assert "TOKEN" not in json.dumps(document["preview"])
    assert document["comment"]["variables"]["GIT_STRATEGY"] == "none"
    assert not any(word in json.dumps(document["comment"]["script"]) for word in ("make ", "bin/edge"))


def merge_request(runner: Runner, notes: list[dict[str, Any]]) -> list[str]:
    """Runs the commenting job; what it wrote. `curl` answers as the API does."""
    script = "\n".join(yaml.safe_load(GITLAB.read_text())["comment"]["script"])
    asked = runner.place / "asked"
    asked.unlink(missing_ok=True)
    (runner.place / "notes").write_text(json.dumps(notes))
    runner.put(
        "curl",
        f'case "$*" in\n*--request*) echo "$*" >>{asked} ;;\n*/user) echo \'{{"id": 5}}\' ;;\n'
        f"*) cat {runner.place / 'notes'} ;;\nesac\n",
    )
    (runner.clone.root / "comment.md").write_text("<!-- edge pr -->\n")
    own = {"CI_API_V4_URL": "https://gitlab.example/api/v4", "CI_PROJECT_ID": "3", "CI_MERGE_REQUEST_IID": "7"}
    step = {"run": script, "env": {**own, "EDGE_COMMENT_TOKEN": "a-token"}}
    done = runner.run(step, {})
    assert done.returncode == 0, done.stderr
    written = asked.read_text().splitlines()
    assert "a-token" not in asked.read_text() + done.stdout + done.stderr
    return written


def test_the_first_push_to_a_merge_request_writes_a_note_and_the_next_one_updates_ours(runner: Runner) -> None:
    mark = "<!-- edge pr -->\nand more {"
    theirs = {"id": 1, "body": mark, "author": {"id": 4}}
    (first,) = merge_request(runner, [theirs, {"id": 2, "body": "hello", "author": {"id": 5}}])
    assert "--request POST" in first
    assert first.endswith("/projects/3/merge_requests/7/notes")
    (second,) = merge_request(runner, [theirs, {"id": 9, "body": mark, "author": {"id": 5}}])
    assert "--request PUT" in second
    assert second.endswith("/notes/9")


@pytest.mark.engine
def test_the_preview_of_a_merge_request_fails_where_a_site_is_broken_and_still_writes_the_comment(
    runner: Runner,
) -> None:
    runner.clone.replace("stacks/sites/prod.yaml", "tier:", "teir:")
    runner.clone.commit()
    job = yaml.safe_load(GITLAB.read_text())["preview"]
    step = {"run": "\n".join(job["script"]), "env": {"CI_MERGE_REQUEST_DIFF_BASE_SHA": "HEAD~1"}}
    assert runner.run(step, {}).returncode == 1
    assert "Not possible as it is" in (runner.clone.root / "comment.md").read_text()


def _python(runner: Runner) -> None:
    python = runner.clone.root / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/bash\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)


@pytest.mark.engine
def test_after_a_merge_each_site_that_changes_has_a_plan_and_an_apply_that_waits_for_a_person(runner: Runner) -> None:
    runner.clone.replace("stacks/sites/prod.yaml", "10.20.0.12", "10.20.0.22")
    runner.clone.replace("stacks/sites/demo.yaml", "tier:", "teir:")
    runner.clone.commit()
    _python(runner)
    script = "\n".join(yaml.safe_load(GITLAB.read_text())["changed"]["script"])
    done = runner.run({"run": script, "env": {"CI_COMMIT_BEFORE_SHA": "HEAD~1"}}, {})
    assert done.returncode == 0, done.stderr
    assert "demo is refused" in done.stderr
    pipeline = yaml.safe_load((runner.clone.root / "sites.yml").read_text())
    assert [name for name in pipeline if " " in name] == ["plan prod", "apply prod"]
    plan, apply = pipeline["plan prod"], pipeline["apply prod"]
    assert plan["script"] == ["NO_COLOR=1 .venv/bin/edge preview prod --save-plan plan-prod.json"]
    assert plan["artifacts"]["paths"] == ["plan-prod.json"]
    assert (apply["when"], apply["needs"]) == ("manual", ["plan prod"])
    assert apply["script"] == [".venv/bin/edge up prod --plan plan-prod.json --yes"]
    assert plan["resource_group"] == apply["resource_group"] == "site-prod"


def test_where_no_site_changes_gitlab_has_a_pipeline_all_the_same(runner: Runner) -> None:
    _python(runner)
    edge = runner.clone.root / ".venv" / "bin" / "edge"
    edge.write_text('#!/bin/bash\necho \'{"sites": [], "refused": []}\'\n')
    script = "\n".join(yaml.safe_load(GITLAB.read_text())["changed"]["script"])
    done = runner.run({"run": script, "env": {"CI_COMMIT_BEFORE_SHA": "HEAD~1"}}, {})
    assert done.returncode == 0, done.stderr
    assert "no site changes" in yaml.safe_load((runner.clone.root / "sites.yml").read_text())


# The same as an action, for workflows of others.

ACTION = PROJECT_ROOT / ".github" / "actions" / "edge-pr" / "action.yml"


def action() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(ACTION.read_text())
    return found


def test_the_action_pins_what_it_uses_and_puts_no_input_into_a_script() -> None:
    for step in action()["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
        assert "uses" in step or step["shell"] == "bash"
    assert "secrets." not in ACTION.read_text()


@pytest.mark.parametrize(("check", "pr", "fails"), [(0, 0, False), (2, 0, True), (0, 1, True), (2, 1, True)])
def test_the_action_writes_the_comment_whatever_is_wrong_and_then_fails(
    check: int, pr: int, fails: bool, runner: Runner
) -> None:
    edge = runner.clone.root / ".venv" / "bin" / "edge"
    edge.write_text(
        f'#!/bin/bash\ncase $1 in check) exit {check} ;; pr) echo "base $3" >"$5"; exit {pr} ;; *) exit 9 ;; esac\n'
    )
    values = {"inputs.base": "abc", "inputs.comment": "result/comment.md", "inputs.working-directory": "."}
    named = {step["name"]: step for step in action()["runs"]["steps"] if "name" in step}
    assert runner.run(named["Check all sites and their policies"], values).returncode == 0
    assert runner.run(named["Preview the sites that change"], values).returncode == 0
    assert (
        (runner.clone.root / "result" / "comment.md").read_text() == "base abc\n" == runner.told("GITHUB_STEP_SUMMARY")
    )
    assert runner.told("GITHUB_OUTPUT") == f"code={check}\ncode={pr}\n"
    codes = {"steps.check.outputs.code": str(check), "steps.pr.outputs.code": str(pr)}
    assert runner.run(named["Fail where a site is wrong"], codes).returncode == fails
