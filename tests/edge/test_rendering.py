"""`edge render`: everything that would arrive on hosts, cluster and clouds, and no secret."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from edge.run.failure import OperationError
from edge.run.program import recorded, rehearsed
from edge.run.rendering import INDEX, rendered, write
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site
from tests.edge.conftest import Project


@pytest.fixture(scope="module")
def prod() -> dict[str, str]:
    return rendered("prod", PROJECT_ROOT)


def test_every_script_and_object_of_the_site_is_there_once(prod: dict[str, str]) -> None:
    spec = load_site("prod")
    file = PROJECT_ROOT / "stacks" / "sites" / "prod.yaml"
    recording = recorded(spec, rehearsed(spec, {}, file, PROJECT_ROOT))
    commands = [one for one in recording.resources if one.type == "command:remote:Command"]
    scripts = sum(when in one.inputs for one in commands for when in ("create", "update", "delete"))
    assert sum(path.startswith("hosts/") and path.endswith(".sh") for path in prod) == scripts
    assert [path for path in prod if path.startswith("local/")] == ["local/prod-identity/create.sh"]
    assert sum(path.endswith("/stdin") for path in prod) == sum("stdin" in one.inputs for one in commands)
    objects = [one for one in recording.resources if one.type.startswith("kubernetes:")]
    assert sum(path.startswith("cluster/") for path in prod) == len(objects)
    assert {path.split("/")[1] for path in prod if path.startswith("clouds/")} == {"azure-native", "tls"}


def test_a_script_is_what_bash_gets(prod: dict[str, str]) -> None:
    script = prod["hosts/prod-a/prod-a-base/create.sh"]
    assert script.startswith("# shellcheck shell=bash")
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_a_file_is_what_its_script_writes(prod: dict[str, str]) -> None:
    for path, script in (("/etc/rancher/k3s/config.yaml", "k3s"), ("/etc/sysctl.d/90-kubelet.conf", "base")):
        content = prod[f"hosts/prod-a/files{path}"]
        assert content in prod[f"hosts/prod-a/prod-a-{script}/create.sh"]
    assert yaml.safe_load(prod["hosts/prod-a/files/etc/rancher/k3s/config.yaml"])
    assert "v1." in prod["hosts/prod-a/downloads.txt"]


def test_an_object_is_a_manifest_with_its_texts_readable(prod: dict[str, str]) -> None:
    text = prod["cluster/edge-telemetry/ConfigMap.otel-config.yaml"]
    assert text.startswith("apiVersion: v1\nkind: ConfigMap\nmetadata:\n")
    assert yaml.safe_load(yaml.safe_load(text)["data"]["config.yaml"])["receivers"]
    assert "\n  config.yaml: |\n" in text


def test_secrets_are_placeholders_by_name_and_what_only_the_host_knows_says_so(prod: dict[str, str]) -> None:
    assert prod["hosts/prod-a/prod-a-k3s/stdin"].splitlines()[0] == "base64 of: rehearsal-placeholder-k3s-token"
    credentials = yaml.safe_load(prod["cluster/flux-system/Secret.edge-configs-credentials.yaml"])
    assert credentials["stringData"]["identity"] == "rehearsal-placeholder-git-ssh-key"
    assert "only the host" in prod["hosts/prod-a/files/etc/rancher/k3s/token"]


def test_a_secret_of_the_settings_is_not_in_it_even_where_it_is_in_plain_text(project: Project) -> None:
    (project.root / "Pulumi.demo.yaml").write_text("config:\n  edge:k3s-token: hunter2\n")
    assert not [path for path, content in rendered("demo", project.root).items() if "hunter2" in content]


def test_the_same_site_is_the_same_files(prod: dict[str, str]) -> None:
    again = rendered("prod", PROJECT_ROOT)
    assert list(again.items()) == list(prod.items())


def test_a_folder_holds_what_was_rendered_last_and_nothing_else(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert project.edge("render", "demo", "--out", out).code == 0
    first = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert "cluster/edge-telemetry/ConfigMap.otel-config.yaml" in first
    project.change("demo", lambda site: site.pop("telemetry"))
    document = project.edge("render", "demo", "--out", out, "--json").document
    second = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert second == {*document["files"], INDEX}
    assert "cluster/edge-telemetry/ConfigMap.otel-config.yaml" not in second


def test_a_folder_with_other_files_is_left_alone(project: Project, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    ran = project.edge("render", "demo", "--out", tmp_path)
    assert (ran.code, "not of `edge render`" in ran.stderr) == (2, True)
    assert "mine.txt" in {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "hosts").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_nothing_is_written_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperationError, match="outside"):
        write({name: "x"}, tmp_path / "out")


def test_without_a_folder_everything_is_printed(project: Project) -> None:
    printed = project.edge("render", "demo").stdout
    assert "==> hosts/demo-a/demo-a-base/create.sh <==" in printed
    assert "==> cluster/cluster-wide/Namespace.edge-telemetry.yaml <==" in printed


def test_a_broken_site_is_bad_input(project: Project) -> None:
    (project.sites / "demo.yaml").write_text("site: demo\n")
    assert project.edge("render", "demo").code == 2


def test_alert_rules_of_the_selected_sites_are_one_file(project: Project) -> None:
    ran = project.edge("render", "demo", "--alerts")
    assert ran.code == 0
    groups = yaml.safe_load(ran.stdout)["groups"]
    assert [group["name"] for group in groups] == ["edge-telemetry", "edge-site-demo"]


def test_a_site_without_telemetry_has_no_alert_rules(project: Project) -> None:
    project.change("demo", lambda site: site.pop("telemetry"))
    assert yaml.safe_load(project.edge("render", "demo", "--alerts").stdout) == {"groups": []}


def test_alert_rules_go_to_standard_output_only(project: Project) -> None:
    ran = project.edge("render", "demo", "--alerts", "--json")
    assert ran.code == 2
    assert "--alerts prints one file" in ran.stderr


def test_the_dashboard_is_one_for_all_sites(project: Project) -> None:
    assert project.edge("render", "--dashboard", "--json").code == 2
    assert json.loads(project.edge("render", "--dashboard").stdout)["uid"] == "edge-sites"
