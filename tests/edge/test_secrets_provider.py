"""What encrypts all stacks is written down once; new stacks get it, and `edge doctor` compares and tries the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from edge.cli import app
from edge.hosts import doctor_secrets
from edge.run.secrets_provider import KINDS, init_command, passphrase_at_hand
from engine.environment import environment, file_backend
from engine.obtain.cli import locate
from tests.edge.conftest import Project

URL = "awskms://alias/edge?region=eu-west-1"


def choose(project: Project, provider: str) -> None:
    file = project.root / "Pulumi.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "secretsprovider": provider}))


def items(project: Project, site: str | None = None, *, tries: bool = False) -> dict[str, tuple[str, str, str]]:
    """Name of each item -> its status, detail and remedy."""
    cli, variables = (locate() if tries else None), environment(project_root=project.root)
    found = doctor_secrets.encryption(cli, variables, project.root, site)
    return {item.name: (item.status, item.detail, item.remedy) for item in found}


@pytest.fixture
def real(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Project:
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", file_backend(tmp_path / "state"))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    (tmp_path / "passphrase").write_text("correct\n")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    return project


def test_what_is_not_written_down_is_a_note_with_the_line_to_write(project: Project) -> None:
    status, _, remedy = items(project)["provider"]
    assert (status, "secretsprovider: passphrase" in remedy) == ("note", True)


def test_what_pulumi_does_not_support_is_broken_and_age_has_a_way(project: Project) -> None:
    choose(project, "age")
    status, detail, remedy = items(project)["provider"]
    assert (status, "age --decrypt" in remedy) == ("broken", True)
    assert all(kind in detail for kind in KINDS)


@pytest.mark.engine
def test_the_providers_are_those_that_pulumi_has(real: Project) -> None:
    choose(real, "passphrase")
    said = CliRunner().invoke(app, ["secrets", "demo", "--generate"])
    assert said.exit_code == 0, said.output
    choose(real, "sops")
    (real.root / "Pulumi.demo.yaml").unlink()
    (real.root / "stacks" / "sites" / "shop.yaml").write_text(
        (real.root / "stacks" / "sites" / "demo.yaml").read_text().replace("site: demo", "site: shop")
    )
    refused = CliRunner().invoke(app, ["secrets", "shop", "--generate"])
    assert refused.exit_code == 1
    supported = re.search(r"supported values: ([a-z,]+)", "".join(refused.output.split("\n")))
    assert supported is not None, refused.output
    assert set(supported[1].split(",")) == set(KINDS)


@pytest.mark.engine
def test_a_new_stack_gets_what_is_written_down(real: Project) -> None:
    choose(real, URL)
    ran = CliRunner().invoke(app, ["secrets", "demo", "--generate"])
    # There is no such key here: Pulumi has asked for it, and not for the passphrase that is at hand.
    assert ran.exit_code == 1
    assert "secrets manager" in ran.output or "kms" in ran.output.lower(), ran.output
    assert not (real.root / "Pulumi.demo.yaml").exists()
    choose(real, "passphrase")
    assert CliRunner().invoke(app, ["secrets", "demo", "--generate"]).exit_code == 0
    settings = yaml.safe_load((real.root / "Pulumi.demo.yaml").read_text())
    assert "encryptionsalt" in settings


def test_settings_that_are_encrypted_already_keep_their_provider(project: Project) -> None:
    from edge.run.operation import opened_stack

    choose(project, URL)
    (project.root / "Pulumi.demo.yaml").write_text("encryptionsalt: v1:x\n")
    with opened_stack("demo", rehearse=False, root=project.root) as session:
        assert session.secrets_provider == ""
    with opened_stack("demo", rehearse=True, root=project.root) as session:
        assert session.secrets_provider == ""
    (project.root / "Pulumi.demo.yaml").unlink()
    with opened_stack("demo", rehearse=False, root=project.root) as session:
        assert session.secrets_provider == URL


def test_a_stack_with_another_provider_is_named_with_the_command_that_changes_it(project: Project) -> None:
    choose(project, URL)
    (project.root / "Pulumi.demo.yaml").write_text("encryptionsalt: v1:x\nconfig:\n  edge:a: {secure: v1:a:b}\n")
    (project.root / "Pulumi.shop.yaml").write_text(f"secretsprovider: {URL}\nencryptedkey: a\n")
    status, detail, remedy = items(project)["another one"]
    assert (status, "demo" in detail, "shop" in detail) == ("note", True, False)
    assert remedy == f"pulumi stack change-secrets-provider '{URL}' --stack demo"


def test_a_passphrase_that_is_not_at_hand_says_what_to_set(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    choose(project, "passphrase")
    status, detail, remedy = items(project)["encryption"]
    assert (status, "PULUMI_CONFIG_PASSPHRASE_FILE" in remedy) == ("broken", True)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(tmp_path / "absent"))
    status, detail, _ = items(project)["encryption"]
    assert (status, "cannot be read: No such file" in detail) == ("broken", True)
    (tmp_path / "absent").write_text("\n")
    assert "which is empty" in items(project)["encryption"][1]
    (tmp_path / "absent").write_text("correct\n")
    assert items(project)["encryption"][0] == "ok"


def test_the_variable_comes_before_the_file_as_pulumi_has_it() -> None:
    both = {"PULUMI_CONFIG_PASSPHRASE": "", "PULUMI_CONFIG_PASSPHRASE_FILE": "/etc/hostname"}
    assert passphrase_at_hand(both)[1] == "PULUMI_CONFIG_PASSPHRASE is set and empty"


@pytest.mark.engine
def test_whether_a_stack_can_be_opened_is_tried_and_no_value_is_printed(
    real: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    choose(real, "passphrase")
    value = "glc_" + "v" * 40
    assert CliRunner().invoke(app, ["secrets", "demo", "--set", "telemetry-token"], input=value).exit_code == 0
    assert CliRunner().invoke(app, ["secrets", "--shared", "--set", "git-password"], input=value).exit_code == 2
    shared = CliRunner().invoke(app, ["secrets", "--shared", "--set", "telemetry-token"], input=value)
    assert shared.exit_code == 0, shared.output
    found = items(real, "demo", tries=True)
    assert found["demo"][0] == found["shared"][0] == "ok"
    (tmp_path / "passphrase").write_text("another\n")
    found = items(real, "demo", tries=True)
    for name in ("demo", "shared"):
        status, detail, remedy = found[name]
        assert (status, "cannot be decrypted" in detail) == ("broken", True)
        assert f"the passphrase of {name}" in remedy
    # It is not said that a stack is encrypted wrongly where there is none.
    (real.root / "Pulumi.shop.yaml").write_text("encryptionsalt: v1:x\nconfig:\n  edge:a: {secure: v1:a:b}\n")
    assert items(real, "shop", tries=True)["shop"][0] == "note"
    assert value not in "".join(capfd.readouterr())


def test_the_command_that_makes_a_stack_names_the_provider(project: Project) -> None:
    assert init_command("demo", project.root) == "pulumi stack init demo"
    choose(project, URL)
    assert init_command("demo", project.root) == f"pulumi stack init demo --secrets-provider '{URL}'"
