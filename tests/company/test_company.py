"""A company's own repository, from the built wheel: it holds no code of ours, and `edge` and `pulumi` work in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.run import program_at
from engine.environment import environment
from engine.obtain.cli import installed_path
from engine.rehearsal.serving import RehearsalServer
from engine.rehearsal.workspace import rehearsal_workspace
from engine.rehearsal.world import World
from stacks.loader import load_site
from tests.company.conftest import SHOPS, Company
from tests.company.installed import Installed, built, install, surroundings
from tests.workflows.runner import Runner, publish, step_named

BASE = {"github.event.pull_request.number": "7", "github.event.pull_request.base.sha": "main"}
DEFAULT = "always:\n  k3s: {embedded_registry: true}\n"


def workflow(company: Company, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((company.root / ".github" / "workflows" / f"{name}.yml").read_text())
    return found


def previewed(company: Company, runner: Runner) -> tuple[list[int], str]:
    """The steps of the job of a pull request: their exit codes, and the comment."""
    document = workflow(company, "pull-request")
    names = ("Check all sites and their policies", "Preview the sites that change")
    codes = [runner.run(step_named(document, name), BASE).returncode for name in names]
    return codes, (company.root / "result" / "comment.md").read_text()


# The wheel.


def test_the_wheel_holds_templates_and_data_and_none_of_our_examples(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"components/k3s/install.sh.j2", "stacks/program_defaults.yaml", "engine/obtain/pulumi_cli/go.mod"} <= names
    assert {"edge_sites.py", "edge/templates/repository/Pulumi.yaml.j2", "policies/PulumiPolicy.yaml"} <= names
    assert not [name for name in names if name.startswith(("stacks/sites/", "stacks/groups/", "lab/", "tests/"))]
    assert not names & {"stacks/fleet.yaml", "policies/config.json"}


def test_the_wheel_requires_exactly_what_was_tested_and_no_tool(program: Installed) -> None:
    checked = subprocess.run([str(program.python), "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    tool = subprocess.run([str(program.python), "-c", "import pytest"], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in tool.stderr


# The repository.


def test_it_holds_no_code_of_ours_and_pins_one_release(company: Company) -> None:
    code = {
        path.relative_to(company.root).as_posix() for path in company.root.rglob("*.py") if ".venv" not in path.parts
    }
    assert code == {"__main__.py", "policies/__main__.py"}
    pinned = [line for line in (company.root / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert pinned == ["edge-sites==0.1.0"]


@pytest.mark.parametrize("below", [".", "sites", "policies"])
def test_edge_works_in_any_folder_below(company: Company, below: str) -> None:
    done = company.edge("check", "shop-0*", below=below)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 sites: all good" in done.stdout


def test_outside_of_any_repository_it_says_how_to_get_one(program: Installed, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(program.edge), "check"],
        cwd=tmp_path,
        env=surroundings(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "edge init DIR" in done.stderr


def test_init_overwrites_nothing(company: Company) -> None:
    before = (company.root / "Pulumi.yaml").read_text()
    done = company.edge("init", ".")
    assert done.returncode == 2
    assert "already, and nothing was written" in done.stderr
    assert (company.root / "Pulumi.yaml").read_text() == before


@pytest.mark.engine
def test_plain_pulumi_previews_a_site_with_its_policies(company: Company) -> None:
    spec = load_site("shop-07", root=company.root)
    rehearsal_workspace("shop-07", company.root)
    with RehearsalServer(World.of(spec.model_dump(mode="json"))) as server:
        variables = {
            **surroundings(company.home),
            **environment(rehearsal=server.debug_providers, project_root=company.root),
        }
        variables["PATH"] = f"{company.root / '.venv' / 'bin'}{os.pathsep}{variables['PATH']}"
        settings = company.root / "Pulumi.shop-07.yaml"
        placeholders = {f"edge:{key}": "x" * 40 for key in ("ssh-private-key", "k3s-token", "k3s-agent-token")}
        run = [str(installed_path()), "--non-interactive", "--color", "never"]
        for command in (
            ["stack", "init", "shop-07"],
            *(["config", "set", "--plaintext", "--stack", "shop-07", *one] for one in placeholders.items()),
            ["preview", "--stack", "shop-07", "--policy-pack", str(company.root / "policies")],
        ):
            done = subprocess.run(
                [*run, *command], cwd=company.root / "sites", env=variables, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
    assert settings.is_file()
    assert "edge:index:EdgeSite" in done.stdout
    assert re.search(r"Policies:\s+.*edge@", done.stdout, re.DOTALL), done.stdout


@pytest.mark.engine
def test_what_a_company_adds_below_build_is_in_every_check_and_preview(company: Company) -> None:
    program = company.root / "__main__.py"
    program.write_text(
        program.read_text()
        + """
import pulumi


class Camera(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("shops:index:Camera", name, {}, opts)
        self.register_outputs({})


if site is not None:
    Camera(f"{site.spec.site}-camera", pulumi.ResourceOptions(parent=site))
"""
    )
    document = json.loads(company.edge("preview", "shop-07", "--rehearse", "--json").stdout)
    assert "shops:index:Camera" in {one["type"] for one in document["resources"]}


# Pull requests, as the workflows run them.


@pytest.mark.engine
def test_one_default_changes_every_site_alike_and_a_second_push_updates_the_comment(
    company: Company, tmp_path: Path
) -> None:
    runner = company.runner(tmp_path / "place")
    company.pull_request("sites/_defaults.yaml", DEFAULT)
    codes, comment = previewed(company, runner)
    assert codes == [0, 0]
    assert f"{SHOPS} of {SHOPS} change" in comment
    assert f"these {SHOPS} sites change alike" in comment
    assert "+ embedded-registry: true" in comment
    (first,) = publish(runner, workflow(company, "comment"), "7\n")
    assert first.startswith("api --method POST")
    (second,) = publish(runner, workflow(company, "comment"), "7\n", comments="99\\n")
    assert second.startswith("api --method PATCH repos/we/sites/issues/comments/99")


@pytest.mark.engine
def test_one_site_changes_alone(company: Company, tmp_path: Path) -> None:
    text = (company.root / "sites" / "shop-07.yaml").read_text()
    company.pull_request("sites/shop-07.yaml", text.replace("10.9.7.11", "10.9.7.12"))
    codes, comment = previewed(company, company.runner(tmp_path / "place"))
    assert codes == [0, 0]
    assert f"1 of {SHOPS} change" in comment
    assert "shop-07" in comment
    assert "shop-08" not in comment


@pytest.mark.engine
def test_what_breaks_a_rule_fails_the_job_and_the_comment_says_what_to_do(company: Company, tmp_path: Path) -> None:
    text = (company.root / "sites" / "shop-07.yaml").read_text()
    telemetry = "telemetry:\n  gateway: https://otlp.example.com/otlp\n  image: docker.io/x/y:latest\n"
    company.pull_request("sites/shop-07.yaml", text + telemetry)
    codes, comment = previewed(company, company.runner(tmp_path / "place"))
    assert codes != [0, 0]
    assert "shop-07" in comment


# An upgrade.


@pytest.mark.engine
def test_an_upgrade_is_one_line_and_its_preview_compares_with_the_release_that_was_pinned(
    company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = ("components/k3s/install.sh.j2", "#", "# The next release says this.\n#")
    following = install(built(tmp_path / "next", "0.2.0", change), tmp_path / "next" / "venv")
    then = program_at.pins(company.root)
    company.pull_request("requirements.txt", "edge-sites==0.2.0\n")
    refused = company.edge("check", "shop-07")
    assert refused.returncode == 2
    assert "pins edge-sites 0.2.0, and this is 0.1.0" in refused.stderr
    (company.root / ".venv").unlink()
    (company.root / ".venv").symlink_to(following.prefix)
    upgraded = Company(company.clone, following, company.home)
    assert upgraded.edge("setup").returncode == 0
    # The base's environment is made by pip, from an index; here it is what pip would have made.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    known = program_at.environment_folder(then)
    known.parent.mkdir(parents=True)
    known.symlink_to(company.program.prefix)
    done = upgraded.edge("pr", "--base", "main", "shop-0[1-3]", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert [one["site"] for one in document["sites"]] == ["shop-01", "shop-02", "shop-03"]
    assert "The next release says this." in done.stdout


def test_edge_hands_over_to_the_release_that_the_repository_has_installed(company: Company, tmp_path: Path) -> None:
    other = Company(company.clone, company.program, company.home)
    (company.root / ".venv").unlink()
    own = company.root / ".venv" / "bin" / "edge"
    own.parent.mkdir(parents=True)
    own.write_text('#!/bin/sh\necho "own edge: $*"\n')
    own.chmod(0o755)
    assert other.edge("check", "--json", below="sites").stdout == "own edge: check --json\n"
