"""The package in a YAML program, on the real engine with the real host of YAML programs."""

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
from stacks.configuration import PLACEHOLDER
from stacks.loader import load_site
from stacks.parts import required
from tests.engine_run import Rehearsed, stack
from tests.package.yaml_program import PACKAGE, program_of, yaml_stack
from tests.registered import is_the_engines
from tests.stacks.test_same_graph import recorded

pytestmark = pytest.mark.engine

_OF_ONE_RUN = ("created", "modified", "stackTrace", "sourcePosition")
"""What differs from run to run of the same program, and where in a program a resource is made."""
_OF_ONE_PROVIDER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SECRET = "secret-of-the-yaml-program"
"""Part of each secret of these tests."""


def test_a_yaml_program_and_the_site_file_make_the_same_state(tmp_path: Path) -> None:
    with yaml_stack(tmp_path / "yaml", program_of("prod"), "prod") as by_program:
        by_program.up()
        made = _comparable(by_program)
    with stack(tmp_path / "file", "prod") as by_file:
        by_file.up()
        assert made == _comparable(by_file)


def test_a_stack_of_a_site_file_goes_on_as_one_of_a_program_without_a_change(tmp_path: Path) -> None:
    with stack(tmp_path / "file", "demo") as by_file:
        by_file.up()
        state = by_file.export()
    with yaml_stack(tmp_path / "yaml", {**program_of("demo"), "outputs": {}}, "demo") as by_program:
        by_program.pulumi("stack", "import", stdin=state)
        done = by_program.pulumi("preview", "--non-interactive", "--json")
    found = json.loads(done.stdout)
    assert set(found["changeSummary"]) == {"same"}, found["changeSummary"]
    assert found["changeSummary"]["same"] > 30


def test_two_sites_of_one_program_are_built_beside_each_other(tmp_path: Path) -> None:
    sites = ("demo", "tower-oslo")
    program = program_of("demo")
    program["resources"] |= program_of("tower-oslo")["resources"]
    program["outputs"] = {site: f"${{{site}.region}}" for site in sites}
    config = {f"edge:{need.key}": PLACEHOLDER + need.key for site in sites for need in required(load_site(site))}
    with yaml_stack(tmp_path / "yaml", program, "demo", config=config) as run:
        run.up()
        made = {(r["type"], r["urn"].rpartition("::")[2]) for r in run.resources() if not is_the_engines(r)}
        outputs = json.loads(run.pulumi("stack", "output", "--json").stdout)
    assert outputs == {site: load_site(site).region for site in sites}
    assert made == {(r.type, r.name) for site in sites for r in recorded(load_site(site)).resources}


def _comparable(run: Rehearsed) -> dict[str, Any]:
    found = {}
    for resource in run.resources("--show-secrets"):
        if not is_the_engines(resource):
            kept = {key: value for key, value in resource.items() if key not in _OF_ONE_RUN}
            kept["dependencies"] = sorted(kept.get("dependencies", []))
            found[resource["urn"]] = json.loads(_OF_ONE_PROVIDER.sub("uuid", json.dumps(kept)))
    assert len(found) > 50
    return found


def test_secrets_of_the_configuration_and_of_the_program_are_plain_nowhere(tmp_path: Path) -> None:
    site = "demo"
    keys = [need.key for need in required(load_site(site))]
    program = program_of(site, secrets={"k3s-token": "${token}"})
    # The configuration of the program's own project, in its own words.
    program["config"] = {"token": {"type": "string", "secret": True}}
    secrets = {key: f"{_SECRET}-{key}" for key in keys if key != "k3s-token"} | {"token": f"{_SECRET}-of-the-program"}
    with yaml_stack(tmp_path / "yaml", program, site, secrets) as run:
        shown = [run.pulumi("preview", "--diff", "--non-interactive")]
        shown += [run.up(), run.pulumi("stack", "output", "--json"), run.pulumi("stack", "export")]
        texts = [text for done in shown for text in (done.stdout, done.stderr)]
        texts += [file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()]
        assert [text for text in texts if _SECRET in text] == []
        decrypted = run.export("--show-secrets")
    for value in secrets.values():
        assert value in decrypted, "the test's own secrets are not where it looks for them"


def test_the_outputs_have_their_types(tmp_path: Path) -> None:
    program = program_of("demo")
    program["outputs"] = {key: f"${{demo.{key}}}" for key in ("site", "break_even_month", "edge_pays", "k3s_version")}
    with yaml_stack(tmp_path / "yaml", program, "demo") as run:
        run.up()
        outputs = json.loads(run.pulumi("stack", "output", "--json").stdout)
    assert outputs == {"site": "demo", "break_even_month": 2, "edge_pays": True, "k3s_version": "v1.36.3+k3s1"}


def test_everything_that_is_wrong_is_one_error_with_the_paths_of_properties(tmp_path: Path) -> None:
    program = program_of("demo")
    properties = program["resources"]["demo"]["properties"]
    properties["hosts"][0]["address"] = "10.10.0.300"
    properties["mesh"]["tags"] = [f"tskey-auth-k{_SECRET.replace('-', '')}CNTRL-{'x' * 32}"]
    with yaml_stack(tmp_path / "yaml", program, "demo") as run:
        done = run.pulumi("preview", "--non-interactive", check=False)
    assert done.returncode != 0
    assert "demo is no valid site" in done.stdout
    assert re.search(r"^ *hosts\[0\]\.address: .*10\.10\.0\.300", done.stdout, re.MULTILINE), done.stdout
    assert "mesh.tags[0]: a secret in plain text" in done.stdout
    assert _SECRET.replace("-", "") not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tier": "neer"}, "Allowed values are"),
        ({"mesh": {"kind": "tailscale", "tag": ["shop"]}}, "tag"),
        ({"hosts": {"name": "a"}}, "List<edge:index:HostSpec>"),
        ({"lables": {}}, "lables"),
    ],
)
def test_the_host_of_yaml_programs_knows_the_types(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with yaml_stack(tmp_path / "yaml", program_of("demo", **change), "demo") as run:
        done = run.pulumi("preview", "--non-interactive", check=False)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "is no valid site" not in done.stdout, "the types were not checked before the site was"


def test_a_secret_in_the_text_of_the_program_is_refused_and_not_shown(tmp_path: Path) -> None:
    program = program_of("demo", secrets={"k3s-token": f"{_SECRET}-1"})
    with yaml_stack(tmp_path / "yaml", program, "demo") as run:
        done = run.pulumi("preview", "--non-interactive", check=False)
    assert "secrets.k3s-token: a secret in plain text" in done.stdout
    assert _SECRET not in done.stdout + done.stderr


def test_the_policy_pack_judges_what_a_yaml_program_makes(tmp_path: Path) -> None:
    program = program_of("demo")
    inference = program["resources"]["demo"]["properties"]["inference"]["triton"]
    inference["images"] = {"server": f"registry.elsewhere.example/tritonserver:26.07@sha256:{'5' * 64}"}
    with yaml_stack(tmp_path / "yaml", program, "demo") as run:
        pack = str(PROJECT_ROOT / "policies")
        done = run.pulumi("preview", "--non-interactive", "--policy-pack", pack, check=False)
    assert "registry-allowlist" in done.stdout, done.stdout + done.stderr


def test_pulumi_adds_the_package_to_a_yaml_project_and_its_schema_is_valid(tmp_path: Path) -> None:
    with yaml_stack(tmp_path / "yaml", {"name": "edge", "runtime": "yaml"}, "demo") as run:
        home = run.home
        # Reached by links, since older hosts keep the schema beside the folder of a package.
        package = home / "package"
        package.symlink_to(PACKAGE)
        (home / ".venv").symlink_to(sys.prefix)
        (home / "schema.json").write_text(_pulumi(run, "package", "get-schema", str(package)))
        _pulumi(run, "schema", "check", "schema.json")
        _pulumi(run, "package", "add", str(package))
        project = yaml.safe_load((home / "Pulumi.yaml").read_text())
        assert project["packages"] == {"edge": str(package)}
        added = {**program_of("demo"), "packages": project["packages"]}
        (home / "Pulumi.yaml").write_text(yaml.safe_dump(added, sort_keys=False))
        assert "edge:index:EdgeSite" in run.pulumi("preview", "--non-interactive").stdout


def _pulumi(run: Rehearsed, *arguments: str) -> str:
    """A command of the project, which no stack has a part in."""
    done = subprocess.run(
        [run.command, *arguments],
        cwd=run.home,
        env=run.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
