"""`edge secrets`: names and never values, and values that go to `pulumi` by standard input only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from edge.cli import app
from edge.run.operation import Session
from engine.environment import file_backend
from engine.obtain.cli import PulumiCli, locate
from stacks.loader import load_site
from stacks.parts import required
from tests.edge.conftest import Project

TOKENS = ["edge:k3s-agent-token", "edge:k3s-token"]


@pytest.fixture
def arguments(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A real `pulumi` with a state of its own, which writes its arguments and environment into the returned file."""
    cli, log = locate(), tmp_path / "arguments"
    wrapper = tmp_path / "bin" / "pulumi"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" >> {log}\nenv >> {log}\nexec {cli.path} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr("edge.run.operation.locate", lambda: PulumiCli(wrapper, cli.version, "path"))
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", file_backend(tmp_path / "state"))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "test")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    return log


def settings(project: Project) -> dict[str, object]:
    content = yaml.safe_load((project.root / "Pulumi.demo.yaml").read_text())
    found: dict[str, object] = content.get("config") or {}
    return found


def test_what_is_missing_is_listed_with_its_reason_and_where_it_is_to_lie(project: Project) -> None:
    listed = project.edge("secrets", "demo")
    assert listed.code == 1
    assert "Pulumi.demo.yaml" in listed.stdout
    for need in required(load_site("demo", root=project.root)):
        assert re.search(rf"{need.key} +missing", listed.stdout)
        assert need.why in listed.stdout
    assert "> edge secrets demo --generate" in listed.stdout


def test_the_listing_never_holds_a_value(project: Project) -> None:
    (project.root / "Pulumi.demo.yaml").write_text(
        "config:\n  edge:k3s-token: hunter2\n  edge:ssh-private-key:\n    secure: v1:abc:def\n"
    )
    listed, document = project.edge("secrets", "demo"), project.edge("secrets", "demo", "--json")
    states = {one["key"]: one["state"] for one in document.document["secrets"]}
    assert (states["edge:k3s-token"], states["edge:ssh-private-key"]) == ("plain text", "set")
    assert states["edge:k3s-agent-token"] == "missing"
    for said in (listed, document):
        assert "hunter2" not in said.stdout + said.stderr
        assert "v1:abc" not in said.stdout + said.stderr


def test_with_nothing_missing_it_is_done(project: Project) -> None:
    needs = required(load_site("demo", root=project.root))
    lines = "".join(f"  edge:{need.key}:\n    secure: v1:a:b\n" for need in needs)
    (project.root / "Pulumi.demo.yaml").write_text(f"config:\n{lines}")
    listed = project.edge("secrets", "demo")
    assert (listed.code, f"{len(needs)} secrets, none missing" in listed.stdout) == (0, True)


def test_what_comes_from_pulumi_esc_is_not_called_missing(project: Project) -> None:
    (project.root / "Pulumi.demo.yaml").write_text("environment: [acme/edge]\n")
    document = project.edge("secrets", "demo", "--json").document
    assert {one["state"] for one in document["secrets"]} == {"in Pulumi ESC"}


def test_only_tokens_of_k3s_can_be_made() -> None:
    assert {need.key for need in required(load_site("prod")) if need.generated} == {"k3s-token", "k3s-agent-token"}


@pytest.mark.engine
def test_tokens_are_made_once_encrypted_and_shown_nowhere(
    project: Project, arguments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = Session.set_secret

    def noted(session: Session, key: str, value: str) -> None:
        made.append(value)
        real(session, key, value)

    monkeypatch.setattr(Session, "set_secret", noted)
    ran = project.edge("secrets", "demo", "--generate")
    assert ran.code == 0, ran.stdout + ran.stderr
    before = settings(project)
    assert sorted(before) == TOKENS
    assert all(isinstance(value, dict) and value.keys() == {"secure"} for value in before.values())
    assert len(set(made)) == 2
    assert all(len(value) == 64 for value in made)
    for value in made:
        assert value not in arguments.read_text()
        assert value not in ran.stdout + ran.stderr
        assert value not in (project.root / "Pulumi.demo.yaml").read_text()
    again = project.edge("secrets", "demo", "--generate")
    assert (again.code, "nothing to make" in again.stdout) == (0, True)
    assert settings(project) == before, "a token that is set was replaced"


@pytest.mark.engine
def test_a_value_from_standard_input_is_set_for_every_named_site(
    project: Project, arguments: Path, tmp_path: Path
) -> None:
    (project.sites / "shop.yaml").write_text(
        (project.sites / "demo.yaml").read_text().replace("site: demo", "site: shop")
    )
    value = "glc_" + "x" * 40
    ran = CliRunner().invoke(app, ["secrets", "demo", "shop", "--set", "edge:telemetry-token"], input=value + "\n")
    assert ran.exit_code == 0, ran.output
    assert value not in arguments.read_text() + ran.output
    for site in ("demo", "shop"):
        text = (project.root / f"Pulumi.{site}.yaml").read_text()
        assert "edge:telemetry-token:\n    secure:" in text
        assert value not in text
    session_value = _read_back(project, "demo", "telemetry-token")
    assert session_value == value


def _read_back(project: Project, site: str, key: str) -> str:
    from edge.run.operation import opened_stack

    with opened_stack(site, rehearse=False, root=project.root) as session:
        return session.secret(key)


def test_sites_are_selected_as_for_other_commands(project: Project) -> None:
    def listed(*arguments: str) -> set[str]:
        return {one["site"] for one in project.edge("secrets", *arguments, "--json").document["secrets"]}

    assert listed("-l", "tier=near") == listed("de*") == listed("--all") == {"demo"}
    assert project.edge("secrets", "-l", "tier=far", "--generate").code == 2


@pytest.mark.engine
def test_no_token_is_made_for_a_cluster_that_is_up(
    project: Project, arguments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "holds", lambda *_: True)
    ran = project.edge("secrets", "demo", "--generate")
    assert ran.code == 1
    assert "restore Pulumi.demo.yaml from version control" in ran.stderr
    assert not (project.root / "Pulumi.demo.yaml").exists()


@pytest.mark.engine
def test_a_wrong_passphrase_is_a_message_and_the_next_site_is_tried(
    project: Project, arguments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.edge("secrets", "demo", "--generate").code == 0
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "another")
    ran = CliRunner().invoke(app, ["secrets", "demo", "--set", "telemetry-token"], input="glc_value\n")
    assert ran.exit_code == 1
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in ran.stderr
    assert "glc_value" not in ran.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--generate",), "name sites, or select them"),
        (("demo", "--set", "k3s-tokn"), "did you mean `k3s-token`?"),
        (("demo", "--set", "k3s-token", "--generate"), "exclude each other"),
        (("demo", "--set", "k3s-token"), "standard input is empty"),
    ],
)
def test_wrong_usage_sets_nothing(project: Project, options: tuple[str, ...], said: str) -> None:
    ran = project.edge("secrets", *options)
    assert ran.code == 2
    assert said in " ".join(ran.stderr.split())
    assert not (project.root / "Pulumi.demo.yaml").exists()


def test_a_run_that_lacks_secrets_says_which_command_makes_some(project: Project) -> None:
    ran = project.edge("preview", "demo")
    assert ran.code == 1
    assert "edge secrets demo --generate" in ran.stderr
