"""The real Pulumi engine on a tiny program: what a user sees, with the language host that this machine has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.environment import environment
from engine.obtain.cli import PulumiCli, automation_command, locate
from engine.obtain.pin import EngineError
from engine.obtain.shim import is_our_shim
from engine.rehearsal.workspace import rehearsal_workspace
from tests.engine.conftest import write_executable

pytestmark = pytest.mark.engine

# Generous: these only bound a test that fails.
_DEADLINE_SECONDS = 120

_PROGRAM = """
import pulumi
from neighbour import colour

class Thing(pulumi.ComponentResource):
    def __init__(self, name, facts):
        super().__init__("tiny:index:Thing", name, facts)
        self.register_outputs(facts)

config = pulumi.Config()
Thing("one", {"colour": config.get("colour") or colour})
pulumi.export("colour", config.get("colour"))
pulumi.export("token", config.require_secret("token"))
"""

_PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

def validate(args, report):
    if args.resource_type == "tiny:index:Thing" and args.props.get("colour") == "red":
        report("nothing may be red")

PolicyPack("tiny", policies=[ResourceValidationPolicy(
    name="no-red", description="No red.", validate=validate, enforcement_level=EnforcementLevel.MANDATORY)])
"""


@dataclass(frozen=True)
class Project:
    """A project folder, rehearsed: no provider is needed, so none is attached."""

    root: Path
    cli: PulumiCli

    def pulumi(self, *arguments: str, config: dict[str, str] | None = None, site: str = "one") -> Result:
        paths = rehearsal_workspace(site, self.root, {"token": "hush-hush", **(config or {})})
        process = subprocess.Popen(
            [str(self.cli.path), "--non-interactive", "--color=never", *arguments],
            cwd=paths.work_dir,
            env={**os.environ, **environment(rehearsal="", project_root=self.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return Result(process.returncode, said)

    def write(self, program: str) -> None:
        (self.root / "__main__.py").write_text(program)

    def state(self, site: str = "one") -> str:
        return (self.root / ".edge" / "rehearsal" / ".pulumi" / "stacks" / "tiny" / f"{site}.json").read_text()


@dataclass(frozen=True)
class Result:
    code: int
    said: str


@pytest.fixture(scope="module")
def cli() -> PulumiCli:
    try:
        return locate()
    except EngineError as error:
        pytest.fail(str(error))


@pytest.fixture
def project(tmp_path: Path, cli: PulumiCli) -> Project:
    root = tmp_path / "a project"
    root.mkdir()
    (root / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
    (root / "neighbour.py").write_text("colour = 'blue'\n")
    (root / "policies").mkdir()
    (root / "policies" / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 0.0.1\n")
    (root / "policies" / "__main__.py").write_text(_PACK)
    own = Project(root, cli)
    own.write(_PROGRAM)
    assert own.pulumi("stack", "init", "one").code == 0
    return own


def _json(result: Result) -> Any:
    assert result.code == 0, result.said
    return json.loads(result.said[result.said.index("{") :])


def _policies(project: Project) -> Sequence[str]:
    return "--policy-pack", str(project.root / "policies")


def test_a_preview_plans_and_an_up_creates_without_a_warning(project: Project) -> None:
    planned = project.pulumi("preview", "--stack=one")
    assert planned.code == 0, planned.said
    assert "2 to create" in planned.said
    done = project.pulumi("up", "--stack=one", "--yes", "--skip-preview")
    assert done.code == 0, done.said
    assert "2 created" in done.said
    assert "warning" not in planned.said + done.said


def test_a_second_up_changes_nothing(project: Project) -> None:
    assert project.pulumi("up", "--stack=one", "--yes", "--skip-preview").code == 0
    again = project.pulumi("up", "--stack=one", "--yes", "--skip-preview", "--expect-no-changes")
    assert again.code == 0, again.said


def test_configuration_reaches_the_program_and_secrets_stay_secret(project: Project) -> None:
    up = project.pulumi("up", "--stack=one", "--yes", "--skip-preview", config={"colour": "green"})
    assert up.code == 0, up.said
    outputs = _json(project.pulumi("stack", "output", "--json", "--stack=one"))
    assert outputs == {"colour": "green", "token": "[secret]"}
    shown = _json(project.pulumi("stack", "output", "--json", "--show-secrets", "--stack=one"))
    assert shown["token"] == "hush-hush"
    assert "hush-hush" not in up.said + project.state()


def test_encrypted_configuration_reaches_the_program_too(project: Project) -> None:
    settings = rehearsal_workspace("one", project.root, {}).settings
    assert project.pulumi("config", "set", "--secret", "--stack=one", "token", "marker-value", config={}).code == 0
    encrypted = yaml.safe_load(settings.read_text())["config"]["tiny:token"]
    assert set(encrypted) == {"secure"}
    # As a committed settings file has it: the workspace is not written again before the run.
    environ = {**os.environ, **environment(rehearsal="", project_root=project.root)}
    command = [str(project.cli.path), "--non-interactive", "up", "--stack=one", "--yes", "--skip-preview"]
    subprocess.run(
        command, cwd=settings.parent, env=environ, check=True, capture_output=True, timeout=_DEADLINE_SECONDS
    )
    settings_kept = yaml.safe_load(settings.read_text())["config"]["tiny:token"]
    assert settings_kept == encrypted
    assert "marker-value" not in project.state()


def test_a_failing_program_ends_1_with_the_users_own_lines(project: Project) -> None:
    project.write("def uplink():\n    raise ValueError('no uplink')\n\nuplink()\n")
    failed = project.pulumi("preview", "--stack=one")
    assert failed.code != 0
    assert f'{project.root}/__main__.py", line 2, in uplink' in failed.said
    assert "ValueError: no uplink" in failed.said
    assert "program_exec.py" not in failed.said


def test_a_run_error_is_shown_as_its_message_alone(project: Project) -> None:
    project.write("import pulumi\nraise pulumi.RunError('site.yaml:3:5: no uplink')\n")
    failed = project.pulumi("preview", "--stack=one")
    assert failed.code != 0
    assert "site.yaml:3:5: no uplink" in failed.said
    assert "Traceback" not in failed.said
    assert "exit code" not in failed.said


def test_a_programs_prints_reach_the_user(project: Project) -> None:
    project.write("import sys\nprint('to stdout')\nprint('to stderr', file=sys.stderr)\n")
    said = project.pulumi("preview", "--stack=one").said
    assert "to stdout" in said
    assert "to stderr" in said


def test_a_policy_pack_passes_what_it_allows(project: Project) -> None:
    passed = project.pulumi("preview", "--stack=one", *_policies(project), config={"colour": "green"})
    assert passed.code == 0, passed.said
    assert "tiny@v0.0.1" in passed.said


def test_a_mandatory_violation_fails_the_run_and_names_the_policy(project: Project) -> None:
    failed = project.pulumi("preview", "--stack=one", *_policies(project), config={"colour": "red"})
    assert failed.code != 0
    assert "no-red" in failed.said
    assert "nothing may be red" in failed.said


def test_after_a_mandatory_violation_no_plugin_has_to_be_killed(project: Project) -> None:
    # What does not end within five seconds of the engine's interrupt is killed with its process group, and then the
    # shell around the host could not note its end.
    noted = project.root / "noted"
    shim = project.cli.path.parent / "pulumi-language-python"
    if not is_our_shim(shim):
        pytest.skip("the official language host is in use here")
    wrapper = project.root / "bin" / "pulumi-language-python"
    write_executable(
        wrapper,
        f'#!/bin/bash\ntrap : INT\necho started >>"{noted}"\n"{shim}" "$@" &\nhost=$!\n'
        f'while kill -0 $host 2>/dev/null; do wait $host; done\necho ended >>"{noted}"\n',
    )
    paths = rehearsal_workspace("one", project.root, {"token": "hush-hush", "colour": "red"})
    variables = environment(rehearsal="", project_root=project.root)
    variables["PATH"] = f"{wrapper.parent}:{variables['PATH']}"
    failed = subprocess.run(
        [str(project.cli.path), "--non-interactive", "preview", "--stack=one", *_policies(project)],
        cwd=paths.work_dir,
        env={**os.environ, **variables},
        check=False,
        capture_output=True,
        timeout=_DEADLINE_SECONDS,
    )
    assert failed.returncode != 0
    steps = noted.read_text().split()
    assert steps.count("started") > 0
    assert steps.count("ended") == steps.count("started")


def test_an_interrupted_up_ends_by_itself_and_leaves_no_lock(project: Project) -> None:
    project.write("import threading\nprint('waiting for ever')\nthreading.Event().wait()\n")
    paths = rehearsal_workspace("one", project.root, {"token": "hush-hush"})
    process = subprocess.Popen(
        [str(project.cli.path), "--non-interactive", "up", "--stack=one", "--yes", "--skip-preview"],
        cwd=paths.work_dir,
        env={**os.environ, **environment(rehearsal="", project_root=project.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert any("waiting for ever" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=_DEADLINE_SECONDS)
    assert process.returncode != 0
    project.write(_PROGRAM)
    again = project.pulumi("up", "--stack=one", "--yes", "--skip-preview")
    assert again.code == 0, again.said


def test_sites_can_be_rehearsed_side_by_side(project: Project) -> None:
    def rehearse(site: str) -> Result:
        assert project.pulumi("stack", "init", site, site=site).code == 0
        return project.pulumi("up", f"--stack={site}", "--yes", "--skip-preview", site=site, config={"colour": site})

    sites = ["two", "three"]
    with ThreadPoolExecutor() as threads:
        results = list(threads.map(rehearse, sites))
    assert [result.code for result in results] == [0, 0], results
    assert [f'"{site}"' in project.state(site) for site in sites] == [True, True]


def test_the_automation_api_runs_the_located_cli(project: Project) -> None:
    from pulumi.automation import LocalWorkspace, Stack

    paths = rehearsal_workspace("one", project.root, {"token": "hush-hush", "colour": "green"})
    workspace = LocalWorkspace(
        work_dir=str(paths.work_dir),
        pulumi_command=automation_command(project.cli),
        env_vars=environment(rehearsal="", project_root=project.root),
    )
    result = Stack.create_or_select(paths.stack, workspace).up()
    assert (result.outputs["colour"].value, result.outputs["token"].secret) == ("green", True)
