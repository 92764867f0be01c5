"""The commands and the program of docs/package.md work as they are written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.environment import PROJECT_ROOT
from stacks.package.inputs import site_of
from stacks.provenance import built_from
from tests.package.yaml_program import PACKAGE, program_of, written, yaml_stack

pytestmark = pytest.mark.engine

_PAGE = (PROJECT_ROOT / "docs" / "package.md").read_text(encoding="utf-8")


def _block(language: str, start: str) -> str:
    found = re.findall(rf"^```{language}\n({re.escape(start)}.*?)^```$", _PAGE, re.DOTALL | re.MULTILINE)
    assert len(found) == 1, f"{start}: {len(found)} blocks of the page begin so"
    return str(found[0])


def test_the_program_of_the_page_comes_up_by_the_commands_of_the_page(tmp_path: Path) -> None:
    # By links, since older hosts of YAML programs keep the schema beside the folder of a package.
    checkout = tmp_path / "edge-sites"
    checkout.mkdir()
    (checkout / "package").symlink_to(PACKAGE)
    (checkout / "policies").symlink_to(PROJECT_ROOT / "policies")
    (checkout / ".venv").symlink_to(sys.prefix)
    with yaml_stack(tmp_path / "shops", program_of("demo"), "demo", {}) as run:
        (run.home / "Pulumi.yaml").write_text(_block("yaml", "name: shops"))
        for name in ("ssh-key", "agent-token", "token"):
            (run.home / name).write_text(f"{name} of a test")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", _block("sh", "pulumi package add")],
            cwd=run.home,
            env={**run.environment, "PULUMI_SKIP_CONFIRMATIONS": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outputs = json.loads(_output(run.command, run.home, run.environment))
    assert outputs == {"kubernetes": "https://10.90.0.11:6443", "edge_pays": True}


def test_a_company_serves_its_own_defaults_and_profiles_by_the_files_of_the_page(tmp_path: Path) -> None:
    company = tmp_path / "company"
    for file, language in (("PulumiPlugin.yaml", "yaml"), ("__main__.py", "python"), ("requirements.txt", "text")):
        path = company / "package" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_block(language, f"# package/{file}\n"))
    (company / "requirements.txt").write_text("")
    (company / ".venv").symlink_to(sys.prefix)
    (company / "sites").mkdir()
    (company / "sites" / "_defaults.yaml").write_text("always: {region: eu-west}\n")
    profile = (PROJECT_ROOT / "stacks" / "profiles" / "hardware" / "hpe-el8000.yaml").read_text()
    (company / "profiles" / "hardware").mkdir(parents=True)
    (company / "profiles" / "hardware" / "shop-box.yaml").write_text(profile)
    host = {**written("demo")["hosts"][0], "hardware": "shop-box"}
    program: dict[str, Any] = {
        "name": "shops",
        "runtime": "yaml",
        "packages": {"edge": str(company / "package")},
        "resources": {"demo": {"type": "edge:EdgeSite", "properties": {"tier": "near", "hosts": [host], "k3s": {}}}},
        "outputs": {"region": "${demo.region}", "built_from": "${demo.built_from}"},
    }
    with yaml_stack(tmp_path / "shops", program, "demo") as run:
        run.up()
        outputs = json.loads(run.pulumi("stack", "output", "--json").stdout)
    spec = site_of("demo", program["resources"]["demo"]["properties"], company)
    assert outputs == {"region": "eu-west", "built_from": built_from(spec, project=company)}
    # Its own code counts, as for a site file of this repository.
    assert outputs["built_from"] != built_from(spec)


def _output(command: str, home: Path, environment: dict[str, str]) -> str:
    shown = [command, "stack", "output", "--json", "--stack", "production"]
    return subprocess.run(shown, cwd=home, env=environment, capture_output=True, text=True, check=True).stdout
