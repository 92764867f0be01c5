"""One command on many sites: each as alone, a result for each, one summary."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from click.testing import Result as Ran
from typer.testing import CliRunner

from edge.cli import app
from edge.commands import several, up
from edge.run import many, pool
from edge.run.events import ResourceChange, Run
from edge.run.failure import OperationError
from edge.run.many import Job, Progress, Result, Summary
from edge.run.operation import Outcome
from stacks.catalogue import PROJECT_ROOT
from tests.edge.conftest import Project
from tests.edge.sites import broken_site, refused_site, site
from tests.edge.test_exit_codes import EDGE

_DEADLINE_S = 90
_WAITS = """
import asyncio, os, pathlib, pulumi
from stacks.program import build
build(pathlib.Path(__file__).parent)
pulumi.export("never", pulumi.Output.from_input(asyncio.get_event_loop().create_future()))
(pathlib.Path(__file__).parent / f"waits-{os.getpid()}").touch()
"""


class Seen:
    """A watch that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begun(self, site: str) -> None:
        self.told.append(f"begun {site}")

    def progress(self, site: str, progress: Progress) -> None:
        self.told.append(f"progress {site} {progress.done}")

    def ended(self, result: Result) -> None:
        self.told.append(f"ended {result.site}")

    def interrupted(self, times: int) -> None:
        self.told.append(f"interrupted {times}")


def by_name(job: Job) -> Result:
    """Succeeds, or fails in the way that the site's name says."""
    if job.site == "refused":
        raise OperationError("refused: no\nand more")
    if job.site == "defect":
        raise ZeroDivisionError("divided")
    if job.site == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    pool.tell(Progress(done=3))
    return Result(job.site, 0, {"site": job.site})


def jobs(*names: str) -> list[Job]:
    return [Job(name, PROJECT_ROOT) for name in names]


def events(stdout: str) -> list[dict[str, Any]]:
    """Every line of the stream; fails where a line is no document of its own."""
    return [json.loads(line) for line in stdout.splitlines()]


def test_a_site_that_fails_in_any_way_stops_no_other() -> None:
    seen = Seen()
    done = many.run("preview", jobs("refused", "a", "killed", "b", "defect", "c"), by_name, seen, workers=2)
    assert [one.site for one in done.results] == ["refused", "a", "killed", "b", "defect", "c"]
    assert [one.code for one in done.results] == [1, 0, 1, 0, 1, 0]
    assert [one.why for one in done.failed][::2] == ["no", "ZeroDivisionError: divided"]
    assert "killed" in done.failed[1].why
    assert done.code == 1
    assert done.sites == {
        "all": 6,
        "succeeded": 3,
        "failed": 3,
        "interrupted": 0,
        "not_started": 0,
        "changed": 0,
    }
    assert seen.told.index("begun a") < seen.told.index("progress a 3") < seen.told.index("ended a")


def test_the_exit_code_is_1_whatever_the_reason_and_130_after_an_interrupt() -> None:
    good, bad_file = Result("a", 0, {}), Result("b", 2, {}, "a.yaml:1:1: wrong")
    stopped = Result("c", 130, {}, "not started", started=False)
    assert Summary("up", [good]).code == 0
    assert Summary("up", [good, bad_file]).code == 1
    assert Summary("up", [good, bad_file, stopped]).code == 130
    assert Summary("up", [good, bad_file, stopped]).sites["not_started"] == 1


def test_two_files_of_one_site_are_not_run_at_the_same_time(tmp_path: Path) -> None:
    one, other = tmp_path / "demo.yaml", tmp_path / "x" / "demo.yaml"
    with pytest.raises(OperationError, match="have one stack"):
        many.jobs([one, other], tmp_path)
    assert [job.site for job in many.jobs([one, one], tmp_path)] == [str(one)]


def test_an_agreement_is_the_same_for_the_same_preview_only() -> None:
    def planned(op: Any, message: str = "") -> Outcome:
        change = ResourceChange("urn:pulumi:demo::edge::a:b:C::x", "a:b:C", "x", "", op)
        return Outcome("demo", "real", "preview", Run(resources={change.urn: change}), duration_s=len(message))

    assert many.agreement(planned("create")) == many.agreement(planned("create", "longer"))
    assert many.agreement(planned("create")) != many.agreement(planned("replace"))


@pytest.mark.engine
def test_a_preview_of_several_sites_shows_each_and_ends_with_one_line(project: Project) -> None:
    for name in ("shop-1", "shop-2"):
        site(project.sites, name)
    refused_site(project.sites, "shop-refused")
    broken_site(project.sites, "shop-broken")
    ran = project.edge("preview", "shop-*", "--rehearse", "--jobs", 2)
    assert ran.code == 1
    lines = ran.stdout.splitlines()
    assert [line.split()[0] for line in lines if " create" in line][:2] == ["shop-1", "shop-2"]
    assert any(line.startswith("  failed  shop-broken: ") and "shop-broken.yaml:2:7: " in line for line in lines)
    assert any("failed  shop-refused: supply-chain/registry-allowlist" in line for line in lines)
    assert lines[-1].startswith("4 sites: 2 to change, 2 failed (")
    assert "demo" not in ran.stdout


@pytest.mark.engine
def test_the_stream_has_the_document_of_each_site_as_alone(project: Project) -> None:
    for name in ("shop-1", "shop-2"):
        site(project.sites, name)
    broken_site(project.sites, "shop-broken")
    ran = project.edge("preview", "-l", "tier=near*", "shop-*", "--rehearse", "--json")
    told = events(ran.stdout)
    assert ran.code == told[-1]["exit"] == 1
    assert told[0] == {"event": "begin", "operation": "preview", "sites": ["shop-1", "shop-2", "shop-broken"]}
    ended = {one["site"]: one for one in told if one["event"] == "end"}
    for name in ("shop-1", "shop-2"):
        alone = project.edge("preview", name, "--rehearse", "--json")
        assert ended[name]["result"] == alone.document
    assert ended["shop-broken"]["exit"] == 2
    assert ended["shop-broken"]["result"]["problems"]
    summary = told[-1]
    assert (summary["event"], summary["sites"]["changed"], summary["sites"]["failed"]) == ("summary", 2, 1)
    assert [one["site"] for one in summary["failed"]] == ["shop-broken"]
    assert summary["resources"]["create"] == sum(
        ended[name]["result"]["counts"]["create"] for name in ended if name != "shop-broken"
    )


@pytest.mark.engine
def test_up_of_several_sites_applies_each_and_outputs_shows_each(project: Project) -> None:
    for name in ("shop-1", "shop-2"):
        site(project.sites, name)
    refused_site(project.sites, "shop-refused")
    ran = project.edge("up", "--all", "--rehearse")
    assert ran.code == 1
    assert ran.stdout.splitlines()[-1].startswith("4 sites: 3 changed, 1 failed (")
    again = project.edge("up", "shop-?", "--rehearse")
    assert again.code == 0
    assert again.stdout.splitlines()[-1].startswith("2 sites: 2 as planned already (")
    shown = project.edge("outputs", "shop-1", "shop-2", "--rehearse")
    assert shown.code == 0
    assert {"shop-1", "shop-2"} <= set(shown.stdout.splitlines())
    told = events(project.edge("outputs", "--all", "--rehearse", "--json").stdout)
    alone = project.edge("outputs", "shop-1", "--rehearse", "--json").document
    assert next(one for one in told if one["event"] == "end" and one["site"] == "shop-1")["result"] == alone
    # The refused site was never brought up: its stack is empty.
    refused = next(one for one in told if one["event"] == "end" and one["site"] == "shop-refused")
    assert refused["result"]["outputs"] == {}


@pytest.mark.engine
def test_consent_to_what_destroys_is_given_for_one_site_only(project: Project, tmp_path: Path) -> None:
    spare = yaml.safe_load(site(tmp_path, "spare").read_text())["hosts"][0]
    agent = {**spare, "name": "b", "role": "agent", "address": "10.10.0.12"}
    site(project.sites, "shop-1")
    project.change("shop-1", lambda content: content["hosts"].append(agent))
    assert project.edge("up", "--all", "--rehearse").code == 0
    project.change("shop-1", lambda content: content["hosts"].pop())
    ran = project.edge("up", "--all", "--rehearse")
    assert ran.code == 1
    assert "failed  shop-1: this would destroy b" in ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("2 sites: 1 as planned already, 1 failed (")
    assert project.edge("up", "--all", "--rehearse", "--allow-destroy", "b").code == 2


@pytest.mark.engine
def test_what_is_applied_is_what_was_shown(project: Project) -> None:
    """Between the question and the answer, somebody edits a site."""
    (job,) = many.jobs([site(project.sites, "shop-1")], project.root)
    job = Job(job.site, job.root, rehearse=True)
    shown = several.run("preview", [job], up.planned_of_several, as_json=False).results[0]
    agreed = Job(job.site, job.root, rehearse=True, agreed=up.agreement_of(shown))
    project.change("shop-1", lambda content: content["hosts"][0].update(address="10.10.0.99"))
    refused = several.run("up", [agreed], up.one_of_several, as_json=False).results[0]
    assert refused.code == 1
    assert "is not as it was when its preview was shown" in refused.document["error"]["what"]
    project.change("shop-1", lambda content: content["hosts"][0].update(address="10.10.0.11"))
    done = several.run("up", [agreed], up.one_of_several, as_json=False).results[0]
    assert (done.code, done.document["operation"]) == (0, "up")


def test_render_writes_a_folder_for_each_site(project: Project, tmp_path: Path) -> None:
    site(project.sites, "shop-1")
    broken_site(project.sites, "shop-broken")
    out = tmp_path / "rendered"
    ran = project.edge("render", "--all", "--out", out)
    assert ran.code == 1
    assert sorted(folder.name for folder in out.iterdir()) == ["demo", "shop-1"]
    assert any((out / "shop-1" / "hosts").iterdir())
    told = events(project.edge("render", "shop-*", "--json").stdout)
    assert [one["site"] for one in told[-1]["failed"]] == ["shop-broken"]
    files = next(one for one in told if one["event"] == "end" and one["site"] == "shop-1")["result"]["files"]
    assert files == project.edge("render", "shop-1", "--json").document["files"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Ran, list[str]]]:
    """Runs `edge up` on sites with an answer typed; returns what ran as well. No engine."""
    ran: list[str] = []

    def run(command: str, todo: list[Job], _work: Any, **_: Any) -> Summary:
        results = []
        for job in todo:
            failed = job.site == "refused"
            change = ResourceChange("urn:pulumi:x::edge::a:b:C::x", "a:b:C", "x", "", "create")
            found = Outcome(job.site, "real", "preview", Run(resources={change.urn: change}), code=int(failed))
            results.append(Result(job.site, int(failed), {}, "no" if failed else "", found))
            ran.append(f"{command} {job.site}{' agreed' if job.agreed else ''}")
        return Summary("up" if command == "up" else "preview", results)

    monkeypatch.setattr("edge.commands.several.run", run)
    monkeypatch.setattr("edge.commands.several.jobs_for", lambda *_, **__: jobs("a", "refused", "b"))
    monkeypatch.setattr("edge.commands.up.require_terminal", lambda *_: None)

    def edge(*arguments: str, answer: str) -> tuple[Ran, list[str]]:
        return CliRunner().invoke(app, list(arguments), input=answer), ran  # type: ignore[return-value]

    return edge


def test_up_of_several_sites_asks_once_and_leaves_out_what_failed(
    asked: Callable[..., tuple[Ran, list[str]]],
) -> None:
    result, ran = asked("up", "--all", answer="y\n")
    assert ran == ["preview a", "preview refused", "preview b", "up a agreed", "up b agreed"]
    assert result.output.count("Do this to 2 sites, leaving out 1 that failed?") == 1
    assert result.exit_code == 1


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_without_a_yes_nothing_is_changed_at_any_site(asked: Callable[..., tuple[Ran, list[str]]], answer: str) -> None:
    result, ran = asked("up", "--all", answer=answer)
    assert [one for one in ran if one.startswith("up ")] == []
    assert result.exit_code == 1


@pytest.mark.engine
def test_an_interrupt_ends_what_runs_starts_nothing_more_and_leaves_no_process(project: Project) -> None:
    """^C goes to the whole process group, as a terminal sends it; each engine gets it once, and ends in order."""
    (project.root / "__main__.py").write_text(_WAITS)
    for number in range(3):
        site(project.sites, f"shop-{number}")
    edge = subprocess.Popen(
        [sys.executable, "-c", EDGE, str(project.root), "preview", "shop-*", "--rehearse", "--json", "--jobs", "2"],
        cwd=PROJECT_ROOT,
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    deadline = time.monotonic() + _DEADLINE_S
    while len(list(project.root.glob("waits-*"))) < 2:
        assert edge.poll() is None, edge.communicate()
        assert time.monotonic() < deadline, "the programs were not run"
        time.sleep(0.05)
    started = psutil.Process(edge.pid).children(recursive=True)
    os.killpg(edge.pid, signal.SIGINT)
    stdout, stderr = edge.communicate(timeout=_DEADLINE_S)
    told = events(stdout)
    assert (edge.returncode, told[-1]["exit"]) == (130, 130)
    assert told[-1]["sites"] == {
        "all": 3,
        "succeeded": 0,
        "failed": 0,
        "interrupted": 2,
        "not_started": 1,
        "changed": 0,
    }
    assert "stopping after the steps that are running" in stderr
    _, alive = psutil.wait_procs(started, timeout=_DEADLINE_S)
    assert alive == []
