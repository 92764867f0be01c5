"""`edge preview`, `up`, `destroy` and `outputs` through the real engine, rehearsed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.run.operation import opened
from edge.run.stack_settings import placeholders
from policies.rules import CATALOGUE
from stacks.catalogue import PROJECT_ROOT
from stacks.configuration import PLACEHOLDER
from stacks.loader import load_site
from tests.edge.conftest import Project
from tests.edge.sites import broken_site, refused_site

pytestmark = pytest.mark.engine

# `edge` in a process of its own, on a project of the test's own.
_EDGE = "import os, sys; os.chdir(sys.argv.pop(1)); from edge.cli import main; main()"


def ops(document: dict[str, Any]) -> set[str]:
    return {resource["op"] for resource in document["resources"]}


def test_outputs_of_a_site_that_was_never_applied_are_missing_and_it_says_how_to_get_them(project: Project) -> None:
    ran = project.edge("outputs", "demo", "--rehearse")
    assert ran.code == 1
    assert "was never applied" in ran.stderr
    assert "edge up demo --rehearse" in ran.stderr


def test_a_preview_of_a_new_site_creates_everything_and_needs_no_secret(project: Project) -> None:
    ran = project.edge("preview", "demo", "--rehearse", "--json")
    assert ran.code == 0, ran.stdout + ran.stderr
    document = ran.document
    assert (document["site"], document["mode"], document["exit"]) == ("demo", "rehearsal", 0)
    assert ops(document) == {"create"}
    assert document["counts"]["create"] == len(document["resources"])
    assert document["secrets"]["placeholders"] == sorted(placeholders(load_site("demo")))
    assert document["cost"]["edge_pays"] is True
    assert {"urn", "type", "name", "op"} <= set(document["resources"][0])


@pytest.mark.parametrize("no_proxy", [None, "example.com"])
def test_a_rehearsal_needs_no_proxy_to_reach_this_machine(project: Project, no_proxy: str | None) -> None:
    closed = "http://127.0.0.1:9"
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"http_proxy": closed, "https_proxy": closed, "HTTPS_PROXY": closed}
    environment |= {"no_proxy": no_proxy, "NO_PROXY": no_proxy} if no_proxy else {}
    done = subprocess.run(
        [sys.executable, "-c", _EDGE, str(project.root), "preview", "demo", "--rehearse", "--json"],
        env=environment,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ops(json.loads(done.stdout)) == {"create"}


def test_a_preview_for_people_says_that_it_is_a_rehearsal_and_with_which_placeholders(project: Project) -> None:
    ran = project.edge("preview", "demo", "--rehearse")
    assert "rehearsal" in ran.stdout.splitlines()[0]
    assert ran.stdout.splitlines()[1].startswith(f"  state: file://{project.root}/.edge/rehearsal, a new stack")
    assert "k3s-token" in ran.stdout.splitlines()[2]
    assert any(line.startswith("  + K3s demo-k3s ") for line in ran.stdout.splitlines())
    assert f"policies: {len(CATALOGUE)} rules on " in ran.stdout
    assert "edge pays" in ran.stdout


def test_a_preview_is_the_same_document_to_the_byte_each_time(project: Project) -> None:
    shutil.copy(PROJECT_ROOT / "stacks" / "sites" / "prod.yaml", project.sites)
    documents = {project.edge("preview", "prod", "--rehearse", "--json").stdout for _ in range(3)}
    assert len(documents) == 1
    judged = json.loads(documents.pop())["judged"]
    assert (judged["complete"], judged["rules"], judged["not_judged"]) == (True, len(CATALOGUE), [])


def test_without_its_policies_a_preview_fails_however_well_the_engine_is_content(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pack that loads and holds none of the rules: the engine has nothing to say against the site."""
    pack = tmp_path / "pack"
    pack.mkdir()
    runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
    (pack / "PulumiPolicy.yaml").write_text(json.dumps({"runtime": runtime, "version": "0.1.0"}))
    (pack / "__main__.py").write_text(
        "import pulumi_policy as p\n"
        "nothing = p.ResourceValidationPolicy('nothing', 'says nothing', lambda _args, _report: None)\n"
        "p.PolicyPack('edge', [nothing])\n"
    )
    monkeypatch.setattr("edge.run.operation.pack_folder", lambda _root: pack)
    ran = project.edge("preview", "demo", "--rehearse")
    assert ran.code == 1
    assert "policies did not run" in ran.stdout
    assert "The policies did not run on demo" in ran.stdout
    assert project.edge("preview", "demo", "--rehearse", "--json").document["judged"]["complete"] is False


def test_a_diff_of_a_script_shows_the_lines_that_change_as_they_were_written(project: Project) -> None:
    project.edge("up", "demo", "--rehearse", "--json")
    project.change("demo", lambda site: site["hosts"][0].update(address="10.99.0.99"))
    ran = project.edge("preview", "demo", "--rehearse", "--diff")
    added = [line.strip() for line in ran.stdout.splitlines() if line.strip().startswith("+ ")]
    assert any("10.99.0.99" in line for line in added), ran.stdout
    assert "'\"'\"'" not in ran.stdout, "a script is shown as it is quoted for SSH"
    assert "connection.host  [secret], changed" in ran.stdout
    applied = project.edge("up", "demo", "--rehearse", "--diff")
    assert [line for line in applied.stdout.splitlines() if "10.99.0.99" in line]


def test_a_document_holds_every_property_with_both_values_and_no_secret(project: Project) -> None:
    created = project.edge("preview", "demo", "--rehearse", "--json")
    script = next(one for one in created.document["resources"] if one["name"] == "demo-a-base")
    whole = {change["path"]: change for change in script["changes"]}
    assert (whole["create"]["kind"], whole["create"]["after"].count("put_file") > 1) == ("add", True)
    assert whole["connection"]["after"] == "[secret]"
    assert PLACEHOLDER not in created.stdout
    assert PLACEHOLDER not in project.edge("preview", "demo", "--rehearse", "--diff").stdout


def test_what_is_up_stays_as_it_is_tells_its_outputs_and_can_be_destroyed(project: Project) -> None:
    first = project.edge("up", "demo", "--rehearse", "--json").document
    assert first["exit"] == 0
    assert first["outputs"]["site"] == "demo"

    second = project.edge("up", "demo", "--rehearse", "--json").document
    assert (second["exit"], ops(second)) == (0, {"same"})

    assert project.edge("outputs", "demo", "--rehearse", "--json").document["outputs"] == first["outputs"]

    destroyed = project.edge("destroy", "demo", "--rehearse", "--json").document
    assert (destroyed["exit"], ops(destroyed)) == (0, {"delete"})
    assert ops(project.edge("preview", "demo", "--rehearse", "--json").document) == {"create"}


def test_an_up_that_finds_nothing_to_change_writes_nothing(project: Project) -> None:
    project.edge("up", "demo", "--rehearse", "--json")
    before = project.state.read_bytes()
    document = project.edge("up", "demo", "--rehearse", "--json").document
    assert (document["operation"], document["exit"], ops(document)) == ("up", 0, {"same"})
    assert document["outputs"]["site"] == "demo"
    assert project.state.read_bytes() == before


def test_an_up_of_which_only_outputs_change_writes_them_and_says_so(project: Project) -> None:
    project.edge("up", "demo", "--rehearse", "--json")
    # Nothing that any resource is told of.
    project.change("demo", lambda site: site.update(description="the shop at the corner"))
    assert "outputs to change: built_from" in project.edge("preview", "demo", "--rehearse").stdout
    assert "outputs changed: built_from" in project.edge("up", "demo", "--rehearse").stdout
    assert "outputs" not in project.edge("preview", "demo", "--rehearse").stdout


def test_a_rehearsal_has_no_hosts_to_look_at(project: Project) -> None:
    ran = project.edge("up", "demo", "--rehearse", "--drift")
    assert (ran.code, "--rehearse has none" in ran.stderr) == (2, True)


def test_plain_pulumi_finds_nothing_to_change_in_what_edge_brought_up(project: Project) -> None:
    """`edge`, which runs the program in its own process, makes the same resources as the language host."""
    assert project.edge("up", "demo", "--rehearse").code == 0
    project.pulumi("preview", "--expect-no-changes")


def test_a_change_is_shown_with_the_properties_that_change_and_touches_nothing_else(project: Project) -> None:
    project.edge("up", "demo", "--rehearse", "--json")
    project.change("demo", lambda site: site["telemetry"].update(offline_hours=48))
    document = project.edge("preview", "demo", "--rehearse", "--json").document
    changed = [resource for resource in document["resources"] if resource["op"] != "same"]
    assert changed
    outside = [resource for resource in changed if "edge:index:Telemetry" not in resource["urn"]]
    assert [resource["type"] for resource in outside] == ["edge:index:EdgeSite"] * len(outside), outside
    assert all(resource.get("diffs") for resource in changed if resource["op"] == "update")


def test_a_policy_stops_up_before_anything_exists(project: Project) -> None:
    refused_site(project.sites, "demo")
    ran = project.edge("up", "demo", "--rehearse", "--json")
    assert ran.code == ran.document["exit"] == 1
    found = [finding for finding in ran.document["policies"] if finding["level"] == "mandatory"]
    assert {finding["rule"] for finding in found} == {"supply-chain/registry-allowlist"}
    assert "demo-a-telemetry" in found[0]["urn"]
    assert "resources" not in json.loads(project.state.read_text())["checkpoint"]["latest"]


@pytest.mark.parametrize("operation", ["preview", "up"])
def test_every_run_of_the_program_is_judged_by_the_policies_up_without_a_preview_too(
    project: Project, operation: str
) -> None:
    """`edge up` previews first; this holds the second run to the policies, whatever the first one said."""
    refused_site(project.sites, "demo")
    with opened("demo", rehearse=True, root=project.root) as session:
        done = getattr(session, operation)(lambda _step: None)
    assert done.code == 1
    (refused,) = done.run.violations
    assert refused.rule == "supply-chain/registry-allowlist"
    resources = json.loads(project.state.read_text())["checkpoint"]["latest"].get("resources", [])
    assert refused.urn not in [resource["urn"] for resource in resources]


def test_no_secret_is_in_the_state_in_plain_text(project: Project) -> None:
    assert project.edge("up", "demo", "--rehearse").code == 0
    assert PLACEHOLDER not in project.state.read_text()


@pytest.mark.parametrize("command", ["preview", "up"])
def test_a_broken_site_is_bad_input_and_leaves_nothing_behind(project: Project, command: str) -> None:
    broken_site(project.sites, "demo")
    ran = project.edge(command, "demo", "--rehearse")
    assert ran.code == 2
    assert "stacks/sites/demo.yaml:2:7:" in ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    assert not project.state.exists()


def test_a_broken_site_as_json_is_a_document_on_standard_output(project: Project) -> None:
    broken_site(project.sites, "demo")
    ran = project.edge("preview", "demo", "--rehearse", "--json")
    assert (ran.code, ran.document["exit"]) == (2, 2)
    assert {problem["path"] for problem in ran.document["problems"]} == {"tier", "regions"}


def test_a_site_whose_file_is_broken_can_still_be_destroyed(project: Project) -> None:
    project.edge("up", "demo", "--rehearse", "--json")
    broken_site(project.sites, "demo")
    document = project.edge("destroy", "demo", "--rehearse", "--json").document
    assert (document["exit"], ops(document)) == (0, {"delete"})


def test_after_an_interruption_the_next_up_goes_on(project: Project) -> None:
    command = [sys.executable, "-c", _EDGE, str(project.root), "up", "demo", "--rehearse"]
    process = subprocess.Popen(
        command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("done   create"):
            process.send_signal(signal.SIGINT)
            break
    stdout, stderr = process.communicate()
    assert process.returncode == 130, stdout + stderr
    assert "edge up demo --rehearse" in stdout

    resumed = project.edge("up", "demo", "--rehearse", "--json").document
    assert resumed["exit"] == 0
    assert resumed["counts"]["create"] > 0
    assert ops(project.edge("preview", "demo", "--rehearse", "--json").document) == {"same"}


def test_a_lock_is_shown_with_its_owner_and_stays(project: Project) -> None:
    project.edge("up", "demo", "--rehearse", "--json")
    locks = project.root / ".edge" / "rehearsal" / ".pulumi" / "locks" / "organization" / "edge" / "demo"
    locks.mkdir(parents=True, exist_ok=True)
    lock = locks / "11111111-1111-4111-8111-111111111111.json"
    owner = {"pid": 2**22 + 1, "username": "ada", "hostname": socket.gethostname(), "timestamp": "2026-11-24T05:00:00Z"}
    lock.write_text(json.dumps(owner))

    project.change("demo", lambda site: site["telemetry"].update(offline_hours=48))
    ran = project.edge("up", "demo", "--rehearse")
    assert ran.code == 1
    assert "ada" in ran.stdout
    assert "no longer running" in ran.stdout
    assert "pulumi cancel --yes --stack demo" in ran.stdout
    assert lock.exists()


def test_without_official_plugins_a_real_run_names_the_missing_one(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = "".join(f"  edge:{key}: placeholder\n" for key in placeholders(load_site("demo")))
    (project.root / "Pulumi.demo.yaml").write_text(f"config:\n{secrets}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "test")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true")
    monkeypatch.setenv("PATH", os.pathsep.join(p for p in os.environ["PATH"].split(":") if not _has_plugins(Path(p))))
    ran = project.edge("preview", "demo")
    assert ran.code == 1
    assert "pulumi plugin install resource" in ran.stdout
    assert "edge preview demo --rehearse" in ran.stdout


def _has_plugins(folder: Path) -> bool:
    return any(folder.glob("pulumi-resource-*"))
