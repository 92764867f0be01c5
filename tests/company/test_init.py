"""What `edge init` writes, and that this project's own workflows are the same."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from edge.cli import app
from edge.run import program_at
from edge.run.failure import OperationError
from edge.run.new_repository import FROM_CHECKOUT, FROM_WHEEL, Ci, Repository, files_of, workflows, write
from stacks import provenance
from stacks.loader import load_site
from stacks.project import DISTRIBUTION, PROGRAM_ROOT, data_folder, found, is_project, project_name, site_file
from stacks.provenance import built_from
from tests.workflows.lint import judge


def repository(ci: Ci = "github", backend: str = "") -> dict[str, str]:
    return files_of(Repository("acme-edge", "1.2.3", ci, backend))


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_the_workflows_of_this_project_are_those_that_init_writes(ci: Ci) -> None:
    for path, text in workflows(ci, FROM_CHECKOUT).items():
        assert (PROGRAM_ROOT / path).read_text() == text, f"{path}: change edge/templates, then this file"


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_a_company_s_workflows_set_up_the_release_that_it_pins(ci: Ci) -> None:
    text = "\n".join(workflows(ci, FROM_WHEEL).values())
    assert ".venv/bin/edge setup" in text
    assert "requirements.txt" in text
    assert "make " not in text
    assert "requirements.lock" not in text


def test_a_company_s_repository_has_workflows_that_need_no_makefile() -> None:
    for ci in ("github", "gitlab"):
        files = files_of(Repository("acme-edge", "1.2.3", ci))
        assert [path for path, text in files.items() if "edge setup" in text and "make " not in text], ci
        assert not [path for path, text in files.items() if "make setup" in text]


def test_actionlint_and_shellcheck_find_nothing_in_a_company_s_workflows(tmp_path: Path) -> None:
    write(repository(), tmp_path / "acme")
    done = judge(*sorted((tmp_path / "acme" / ".github" / "workflows").glob("*.yml")))
    assert (done.returncode, done.stdout) == (0, "")


def test_the_name_the_release_and_the_backend_are_the_repository_s() -> None:
    files = repository(backend="s3://acme-state")
    project = yaml.safe_load(files["Pulumi.yaml"])
    assert (project["name"], project["backend"]) == ("acme-edge", {"url": "s3://acme-state"})
    assert files["requirements.txt"].splitlines()[-1] == "edge-sites==1.2.3"
    assert "backend" not in yaml.safe_load(repository()["Pulumi.yaml"])


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "x" * 101, "a\nb"])
def test_what_pulumi_takes_for_no_name_is_refused(name: str) -> None:
    with pytest.raises(OperationError, match="cannot be the name"):
        Repository(name, "1.2.3")


def test_at_a_terminal_it_asks_for_a_first_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edge.commands.new.at_terminal", lambda: True)
    demo = load_site("demo").hosts[0]
    answers = ["shop", "hpe-el8000", "10.9.0.11", demo.host_key, "near", "eu"]
    result = CliRunner().invoke(app, ["init", "acme"], input="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    assert load_site("shop", root=tmp_path / "acme").hosts[0].address == "10.9.0.11"


def test_no_file_is_overwritten_and_none_is_written_beside_one_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    result = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert result.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_the_json_document_names_every_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["init", str(tmp_path / "acme"), "--ci", "none", "--json"])
    assert result.exit_code == 0
    files = yaml.safe_load(result.stdout)["files"]
    assert {"Pulumi.yaml", "__main__.py", "sites/_defaults.yaml", ".gitignore"} <= set(files)
    assert not [path for path in files if path.startswith(".github")]


# Where a project is.


def test_the_nearest_folder_upwards_that_is_a_project_is_found(tmp_path: Path) -> None:
    write(repository(), tmp_path / "acme")
    below = tmp_path / "acme" / "docs" / "deep"
    below.mkdir(parents=True)
    assert found(below) == (tmp_path / "acme").resolve()
    assert found(tmp_path) is None


def test_another_pulumi_project_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: website\nruntime: nodejs\n")
    assert not is_project(tmp_path)


def test_the_files_of_a_company_are_at_the_top_and_ours_are_in_stacks(tmp_path: Path) -> None:
    write(repository(), tmp_path / "acme")
    assert site_file(tmp_path / "acme", "shop") == tmp_path / "acme" / "sites" / "shop.yaml"
    assert data_folder(PROGRAM_ROOT) == PROGRAM_ROOT / "stacks"
    assert (project_name(tmp_path / "acme"), project_name(PROGRAM_ROOT)) == ("acme-edge", "edge")


# Other releases.


def test_a_release_other_than_the_pinned_one_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository(), tmp_path / "acme")
    monkeypatch.chdir(tmp_path / "acme")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 2
    assert f"pins edge-sites 1.2.3, and this is {version(DISTRIBUTION)}" in result.stderr
    (tmp_path / "acme" / "requirements.txt").write_text(f"edge-sites=={version(DISTRIBUTION)}\n")
    assert "There is no site in sites" in CliRunner().invoke(app, ["check"]).stderr


def test_what_a_company_adds_counts_for_what_a_site_was_built_from(tmp_path: Path) -> None:
    write(repository(), tmp_path / "acme")
    site, project = load_site("demo"), tmp_path / "acme"
    seen = [built_from(site), built_from(site, project=project)]
    for file, text in (("cameras/camera.py", "A = 1\n"), ("profiles/hardware/box.yaml", "x: 1\n")):
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        (project / file).write_text(text)
        provenance._company.cache_clear()
        seen.append(built_from(site, project=project))
    assert len(set(seen)) == 4
    (project / ".venv").mkdir()
    (project / ".venv" / "tool.py").write_text("")
    (project / "policies" / "own_rules.py").write_text("")
    provenance._company.cache_clear()
    assert built_from(site, project=project) == seen[-1]


def test_a_comment_beside_a_pin_makes_no_other_environment(tmp_path: Path) -> None:
    for name, text in (("a", "edge-sites==1.0\n"), ("b", "# why\nedge-sites==1.0  # the newest\n\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "requirements.txt").write_text(text)
    assert program_at.pins(tmp_path / "a") == program_at.pins(tmp_path / "b") == ("edge-sites==1.0",)


def test_the_releases_of_a_revision_are_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    _tiny_wheel(wheels)
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(wheels)), ("XDG_CACHE_HOME", str(tmp_path))):
        monkeypatch.setenv(name, value)
    now, then = tmp_path / "now", tmp_path / "then"
    for folder, text in ((now, ""), (then, "then-of-edge==1.0\n")):
        folder.mkdir()
        (folder / "requirements.txt").write_text(text)
    program = program_at.program_of(then, now)
    asked = [str(program.python), "-c", "import then_of_edge; print(then_of_edge.WHO)"]
    done = subprocess.run(asked, env=program.variables, capture_output=True, text=True, check=False)
    assert done.stdout == "then\n", done.stderr
    (wheels / "then_of_edge-1.0-py3-none-any.whl").unlink()
    assert program_at.program_of(then, now) == program


def test_a_release_that_cannot_be_installed_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, text in (("now", ""), ("then", "no-such-release==1.0\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "requirements.txt").write_text(text)
    with pytest.raises(OperationError, match="the releases of then cannot be installed: ERROR"):
        program_at.program_of(tmp_path / "then", tmp_path / "now")
    assert [path.name for path in (tmp_path / "cache" / "edge" / "programs").iterdir()] == [".lock"]


def _tiny_wheel(folder: Path) -> None:
    import zipfile

    info = "then_of_edge-1.0.dist-info"
    with zipfile.ZipFile(folder / "then_of_edge-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("then_of_edge.py", "WHO = 'then'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: then-of-edge\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"then_of_edge.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
