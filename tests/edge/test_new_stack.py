"""A real preview of a site that has no stack yet: what will be, and nothing left behind. Providers are simulated."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.run import new_stack
from edge.run.failure import OperationError
from edge.run.pulumi_process import PulumiProcess
from edge.run.stack_settings import StackSettings, placeholders
from engine.environment import backend_of, environment, file_backend
from engine.obtain.cli import locate
from engine.rehearsal.serving import RehearsalServer
from engine.rehearsal.world import World
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site
from tests.edge.conftest import Project


@pytest.fixture
def real(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Real runs of the project, on providers that only this test attaches. Gives the folder of the state."""
    spec = load_site("demo", root=project.root)
    secrets = "".join(f"  edge:{key}: placeholder\n" for key in placeholders(spec))
    (project.root / "Pulumi.demo.yaml").write_text(f"config:\n{secrets}")
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", file_backend(state))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    # The providers are simulated, and so are the hosts: there is nobody to contact.
    monkeypatch.setattr("edge.hosts.contact.unusable", lambda *_: {})
    with RehearsalServer(World.of(spec.model_dump(mode="json"))) as server:
        monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", server.debug_providers)
        yield state


@pytest.mark.engine
def test_a_real_preview_creates_no_stack_and_up_does(
    project: Project, real: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = (project.root / "Pulumi.demo.yaml").read_bytes()
    ran = project.edge("preview", "demo")
    assert ran.code == 0, ran.stdout + ran.stderr
    assert f"state: file://{real}, a new stack" in ran.stdout
    assert "rehearsal" not in ran.stdout
    assert not list(real.rglob("*demo*")), "a preview has left a stack"
    assert (project.root / "Pulumi.demo.yaml").read_bytes() == settings
    assert not list(tmp_path.glob("edge-new-stack-*"))
    document = project.edge("preview", "demo", "--json").document
    assert (document["new_stack"], document["backend"]) == (True, f"file://{real}")

    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "test")
    assert project.edge("up", "demo", "--yes").code == 0
    assert list(real.rglob("demo.json"))
    document = project.edge("preview", "demo", "--json").document
    assert (document["new_stack"], document["counts"]["create"]) == (False, 0)


@pytest.mark.engine
def test_a_plan_needs_a_stack_whose_key_can_encrypt_its_secrets(project: Project, real: Path, tmp_path: Path) -> None:
    ran = project.edge("preview", "demo", "--save-plan", tmp_path / "demo.plan")
    assert ran.code == 1
    assert "pulumi stack init demo" in ran.stderr
    assert not (tmp_path / "demo.plan").exists()


@pytest.mark.engine
def test_a_secret_inside_a_script_is_masked_in_its_diff_and_in_the_document(
    project: Project, real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a value of the settings gets into a script, the engine masks it, and so does everything made of it."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "test")
    for arguments in (("stack", "init", "demo"), ("config", "set", "--secret", "--stack", "demo", "edge:k3s-token")):
        subprocess.run(
            [str(locate().path), *arguments, "--non-interactive"],
            cwd=project.root,
            env={**os.environ, **environment(project_root=project.root)},
            input="hunter2-and-more",
            capture_output=True,
            text=True,
            check=True,
        )
    project.change("demo", lambda site: site["hosts"][0].update(reapply="hunter2-and-more"))
    for option in ("--diff", "--json"):
        printed = project.edge("preview", "demo", option)
        assert printed.code == 0, printed.stdout + printed.stderr
        assert "# reapply: [secret]" in printed.stdout
        assert "hunter2" not in printed.stdout


def test_settings_that_only_the_backends_stack_can_give_ask_for_that_stack() -> None:
    settings = StackSettings(PROJECT_ROOT / "Pulumi.demo.yaml", from_environment=True)
    process = PulumiProcess(Path("pulumi"), PROJECT_ROOT, {})
    with (
        pytest.raises(OperationError, match="Pulumi ESC") as refused,
        new_stack.standing_in(process, settings, PROJECT_ROOT, "https://api.pulumi.com"),
    ):
        pass
    assert "pulumi stack init demo" in refused.value.remedies[0]


@pytest.mark.parametrize(
    ("project_file", "variables", "backend"),
    [
        ("name: edge\n", {"PULUMI_BACKEND_URL": "s3://bucket?region=x"}, "s3://bucket"),
        ("name: edge\n", {"PULUMI_BACKEND_URL": "postgres://me:hunter2@db/x?sslmode=no"}, "postgres://db/x"),
        ("name: edge\nbackend:\n  url: gs://ours\n", {}, "gs://ours"),
        ("name: edge\n", {}, ""),
    ],
)
def test_the_backend_is_named_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project_file: str, variables: dict[str, str], backend: str
) -> None:
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    (tmp_path / "Pulumi.yaml").write_text(project_file)
    assert backend_of(variables, tmp_path) == backend
