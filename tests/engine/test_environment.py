"""The environment of a run: rehearsals keep to themselves, production follows the user."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.environment import environment
from engine.rehearsal.workspace import rehearsal_workspace
from tests.engine.conftest import Machine

_PRODUCTION_ONLY_BY_USER = {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_DEBUG_PROVIDERS"}


@pytest.fixture
def project(tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    monkeypatch.delenv("PULUMI_CREDENTIALS_PATH", raising=False)
    monkeypatch.delenv("EDGE_DEBUG", raising=False)
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))
    root = tmp_path / "project"
    root.mkdir()
    (root / "Pulumi.yaml").write_text(
        "name: edge\nruntime: {name: python, options: {virtualenv: .venv}}\n"
        "stackConfigDir: settings\nconfig: {edge:site: {default: demo}}\n"
    )
    return root


def test_the_virtual_environments_tools_come_first(project: Path, machine: Machine) -> None:
    assert environment(project_root=project)["PATH"].split(":")[0] == str(machine.venv_bin)


def test_a_rehearsal_has_its_own_state_home_and_passphrase_inside_the_checkout(project: Path) -> None:
    variables = environment(rehearsal="command:4000", project_root=project)
    assert variables["PULUMI_BACKEND_URL"] == f"file://{project}/.edge/rehearsal?metadata=skip"
    assert (project / ".edge" / "rehearsal").is_dir()
    assert variables["PULUMI_HOME"].startswith(str(project / ".edge"))
    assert variables["PULUMI_CONFIG_PASSPHRASE"]


def test_a_rehearsal_attaches_its_providers_and_downloads_no_plugin(project: Path) -> None:
    variables = environment(rehearsal="command:4000", project_root=project)
    assert variables["PULUMI_DEBUG_PROVIDERS"] == "command:4000"
    assert variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"


def test_the_engine_cannot_log_a_rehearsal(project: Path) -> None:
    home = Path(environment(rehearsal="command:4000", project_root=project)["PULUMI_HOME"])
    assert (home / "logs").is_file()


def test_logs_of_earlier_rehearsals_go(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_DEBUG", "1")
    home = Path(environment(rehearsal="command:4000", project_root=project)["PULUMI_HOME"])
    assert not (home / "logs").exists(), "whoever debugs wants the engine's log"
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "old.log").touch()
    monkeypatch.delenv("EDGE_DEBUG")
    environment(rehearsal="command:4000", project_root=project)
    assert (home / "logs").is_file()


def test_a_rehearsal_never_writes_to_the_users_backend(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://production")
    assert environment(rehearsal="command:4000", project_root=project)["PULUMI_BACKEND_URL"].startswith("file://")


def test_a_real_run_takes_nothing_from_rehearsal(project: Path) -> None:
    variables = environment(project_root=project)
    assert not _PRODUCTION_ONLY_BY_USER & variables.keys()
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in variables


def test_a_real_run_finds_all_of_the_users_home_and_keeps_no_log(project: Path, tmp_path: Path) -> None:
    home = tmp_path / "pulumi"
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "theirs.log").touch()
    (home / "credentials.json").write_text("theirs")
    seen = Path(environment(project_root=project)["PULUMI_HOME"])
    assert (seen / "credentials.json").read_text() == "theirs"
    assert (seen / "logs").is_file()
    assert [entry.name for entry in (home / "logs").iterdir()] == ["theirs.log"]


def test_what_a_real_run_makes_at_home_is_the_users(project: Path, tmp_path: Path) -> None:
    variables = environment(project_root=project)
    (Path(variables["PULUMI_HOME"]) / "plugins" / "resource-command-v1.2.1").mkdir()
    assert (tmp_path / "pulumi" / "plugins" / "resource-command-v1.2.1").is_dir()
    assert variables["PULUMI_CREDENTIALS_PATH"] == str(tmp_path / "pulumi")


def test_the_home_of_real_runs_follows_the_users(project: Path, tmp_path: Path) -> None:
    seen = Path(environment(project_root=project)["PULUMI_HOME"])
    (tmp_path / "pulumi" / "config.json").touch()
    environment(project_root=project)
    assert (seen / "config.json").is_file()
    (tmp_path / "pulumi" / "config.json").unlink()
    environment(project_root=project)
    assert not (seen / "config.json").is_symlink()


def test_a_run_inside_a_run_has_the_same_home(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = environment(project_root=project)
    for name in ("PULUMI_HOME", "PULUMI_CREDENTIALS_PATH"):
        monkeypatch.setenv(name, variables[name])
    assert "PULUMI_HOME" not in environment(project_root=project)


def test_whoever_debugs_gets_the_log_at_home(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_DEBUG", "1")
    assert "PULUMI_HOME" not in environment(project_root=project)


def test_a_home_that_takes_no_folder_is_used_as_it_is(project: Path, tmp_path: Path) -> None:
    (tmp_path / "pulumi").write_text("no folder")
    assert "PULUMI_HOME" not in environment(project_root=project)


def test_a_real_run_keeps_state_in_the_checkout_by_default(project: Path) -> None:
    assert environment(project_root=project)["PULUMI_BACKEND_URL"] == f"file://{project}/.edge/state?metadata=skip"
    assert (project / ".edge" / "state").is_dir()


def test_the_users_backend_wins_over_the_default(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://production")
    assert "PULUMI_BACKEND_URL" not in environment(project_root=project)


def test_the_project_files_backend_wins_over_the_default(project: Path) -> None:
    with open(project / "Pulumi.yaml", "a") as file:
        file.write("backend: {url: 's3://production'}\n")
    assert "PULUMI_BACKEND_URL" not in environment(project_root=project)


def test_a_backend_that_is_asked_for_wins_over_all(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://production")
    assert environment(backend="gs://other", project_root=project)["PULUMI_BACKEND_URL"] == "gs://other"


def test_each_rehearsed_site_has_its_own_workspace_that_runs_the_checkouts_program(project: Path) -> None:
    one, other = (rehearsal_workspace(site, project, {}) for site in ("one", "other"))
    assert one.work_dir != other.work_dir
    written = yaml.safe_load((one.work_dir / "Pulumi.yaml").read_text())
    assert (one.work_dir / written["main"]).resolve() == project
    assert (written["name"], written["config"]) == ("edge", {"edge:site": {"default": "demo"}})


def test_a_workspace_leaves_out_what_would_lead_back_to_production(project: Path) -> None:
    with open(project / "Pulumi.yaml", "a") as file:
        file.write("backend: {url: 's3://production'}\n")
    written = yaml.safe_load((rehearsal_workspace("one", project, {}).work_dir / "Pulumi.yaml").read_text())
    assert not {"backend", "stackConfigDir"} & written.keys()


def test_committed_settings_are_neither_read_nor_changed(project: Path) -> None:
    committed = project / "Pulumi.one.yaml"
    committed.write_text("encryptionsalt: v1:theirs\nconfig: {edge:k3s-token: {secure: v1:cipher}}\n")
    before = committed.read_text()
    paths = rehearsal_workspace("one", project, {"k3s-token": "placeholder"})
    assert committed.read_text() == before
    written = yaml.safe_load(paths.settings.read_text())
    assert written["config"] == {"edge:k3s-token": "placeholder"}
    assert "theirs" not in written["encryptionsalt"]


def test_a_namespaced_key_keeps_its_namespace(project: Path) -> None:
    paths = rehearsal_workspace("one", project, {"aws:region": "eu-central-1"})
    assert yaml.safe_load(paths.settings.read_text())["config"] == {"aws:region": "eu-central-1"}


def test_settings_are_replaced_whole(project: Path) -> None:
    rehearsal_workspace("one", project, {"site": "one", "gone": "yes"})
    paths = rehearsal_workspace("one", project, {"site": "one"})
    assert yaml.safe_load(paths.settings.read_text())["config"] == {"edge:site": "one"}
