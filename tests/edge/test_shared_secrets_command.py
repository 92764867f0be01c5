"""`edge secrets --shared`, and the other commands on sites that share secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from edge.cli import app
from edge.run.operation import opened_stack
from engine.rehearsal.serving import RehearsalServer
from engine.rehearsal.world import World
from stacks.loader import load_site
from stacks.parts import required
from tests.edge.conftest import Project
from tests.edge.sites import site as site_file
from tests.edge.test_secrets_command import arguments  # noqa: F401

VALUE = "glc_" + "s" * 40


@pytest.fixture
def sharing(project: Project) -> Project:
    (project.root / "Pulumi.shared.yaml").write_text(
        "config:\n  edge:telemetry-token:\n    secure: v1:a:b\n  edge:k3s-token:\n    secure: v1:c:d\n"
    )
    return project


def states(project: Project) -> dict[str, tuple[str, str]]:
    listed = project.edge("secrets", "demo", "--json").document["secrets"]
    return {one["key"].removeprefix("edge:"): (one["state"], one["file"]) for one in listed}


def test_a_shared_secret_is_not_missing_and_a_token_of_a_cluster_is(sharing: Project) -> None:
    assert states(sharing)["telemetry-token"] == ("shared", "Pulumi.shared.yaml")
    assert states(sharing)["k3s-token"] == ("missing", "Pulumi.demo.yaml")
    (checked,) = sharing.edge("check", "demo", "--json").document["sites"]
    assert "telemetry-token" not in checked["secrets"]["missing"]
    assert "k3s-token" in checked["secrets"]["missing"]


def test_a_sites_own_secret_is_said_to_be_its_own(sharing: Project) -> None:
    (sharing.root / "Pulumi.demo.yaml").write_text("config:\n  edge:telemetry-token:\n    secure: v1:e:f\n")
    assert states(sharing)["telemetry-token"] == ("set", "Pulumi.demo.yaml")
    shared = {one["key"]: one["used_by"] for one in sharing.edge("secrets", "--shared", "--json").document["secrets"]}
    assert shared["edge:telemetry-token"] == []


def test_with_pulumi_esc_nobody_knows_whether_the_shared_one_is_used(sharing: Project) -> None:
    (sharing.root / "Pulumi.demo.yaml").write_text("environment: [acme/edge]\n")
    assert {state for state, _ in states(sharing).values()} == {"in Pulumi ESC"}


def test_the_shared_ones_are_listed_with_the_sites_that_use_them(sharing: Project) -> None:
    listed = sharing.edge("secrets", "--shared")
    assert (listed.code, "edge:telemetry-token" in listed.stdout, "used by demo" in listed.stdout) == (0, True, True)
    assert "v1:a:b" not in listed.stdout


def test_what_several_sites_lack_can_be_set_once(project: Project) -> None:
    once = "edge secrets --shared --set"
    assert once not in project.edge("secrets").stdout, "of one site only"
    site_file(project.sites, "shop")
    (line,) = (line for line in project.edge("secrets").stdout.splitlines() if once in line)
    key = line.partition("--set ")[2].split()[0]
    assert key not in ("k3s-token", "k3s-agent-token"), "a token of a cluster is not shared"


def test_a_shared_secret_in_plain_text_fails(sharing: Project) -> None:
    (sharing.root / "Pulumi.shared.yaml").write_text("config:\n  edge:telemetry-token: hunter2\n")
    listed = sharing.edge("secrets", "--shared")
    assert (listed.code, "plain text" in listed.stdout, "hunter2" in listed.stdout) == (1, True, False)
    assert states(sharing)["telemetry-token"][0] == "missing"
    checked = sharing.edge("check", "demo")
    assert (checked.code, "Pulumi.shared.yaml: edge:telemetry-token" in checked.stdout) == (1, True)
    assert "hunter2" not in checked.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--shared", "--set", "k3s-token"), "k3s-token is not shared"),
        (("--shared", "--set", "telemetry-tokn"), "did you mean `telemetry-token`?"),
        (("demo", "--shared", "--set", "telemetry-token"), "name none"),
        (("--shared", "--generate"), "exclude each other"),
    ],
)
def test_what_cannot_be_shared_is_bad_input(project: Project, options: tuple[str, ...], said: str) -> None:
    ran = project.edge("secrets", *options)
    assert (ran.code, said in " ".join((ran.stdout + ran.stderr).replace("│", " ").split())) == (2, True), ran.stderr
    assert not (project.root / "Pulumi.shared.yaml").exists()


def test_broken_shared_settings_are_named(sharing: Project) -> None:
    (sharing.root / "Pulumi.shared.yaml").write_text("config: {")
    assert "Pulumi.shared.yaml is not YAML" in sharing.edge("secrets", "demo").stderr
    checked = sharing.edge("check", "demo")
    assert (checked.code, "Pulumi.shared.yaml" in checked.stdout) == (1, True)


@pytest.mark.engine
def test_it_is_set_in_one_place_brought_up_and_seen_by_a_site_without_a_stack(
    project: Project,
    arguments: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for value in ("first", VALUE):
        ran = CliRunner().invoke(app, ["secrets", "--shared", "--set", "telemetry-token"], input=value + "\n")
        assert ran.exit_code == 0, ran.output
        assert VALUE not in ran.output + arguments.read_text()
    assert "used by demo" in ran.output
    text = (project.root / "Pulumi.shared.yaml").read_text()
    assert list(yaml.safe_load(text)["config"]) == ["edge:telemetry-token"]
    with opened_stack("demo", rehearse=False, root=project.root) as session:
        assert session.secret("telemetry-token") == VALUE
    spec = load_site("demo", root=project.root)
    others = {f"edge:{need.key}": "placeholder" for need in required(spec) if need.key != "telemetry-token"}
    (project.root / "Pulumi.demo.yaml").write_text(yaml.safe_dump({"config": others}))
    monkeypatch.setattr("edge.hosts.contact.unusable", lambda *_: {})
    with RehearsalServer(World.of(spec.model_dump(mode="json"))) as server:
        monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", server.debug_providers)
        previewed = project.edge("preview", "demo", "--json")
        assert previewed.code == 0, previewed.stdout + previewed.stderr
        assert previewed.document["counts"]["create"] > 5
        applied = project.edge("up", "demo", "--yes")
        assert applied.code == 0, applied.stdout + applied.stderr
