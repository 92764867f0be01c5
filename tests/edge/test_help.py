"""Help, version and completion of every command."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from edge.cli import COMMANDS, app
from stacks.project import DISTRIBUTION
from tests.edge.conftest import Project

NAMES = sorted(module.__name__.rpartition(".")[2] for module in COMMANDS)


def help_of(*arguments: str, columns: int = 80) -> str:
    ran = CliRunner(env={"COLUMNS": str(columns), "TERMINAL_WIDTH": ""}).invoke(app, [*arguments, "--help"])
    assert ran.exit_code == 0
    return ran.stdout


@pytest.mark.parametrize("name", ["", *NAMES])
@pytest.mark.parametrize("columns", [80, 200])
def test_every_help_text_fits_80_columns(name: str, columns: int) -> None:
    text = help_of(*([name] if name else []), columns=columns)
    assert [line for line in text.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", ["", *NAMES])
def test_the_short_option_shows_the_same_help(name: str) -> None:
    arguments = [name] if name else []
    assert CliRunner().invoke(app, [*arguments, "-h"]).stdout == CliRunner().invoke(app, [*arguments, "--help"]).stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_a_whole_line(name: str) -> None:
    module = next(one for one in COMMANDS if one.__name__.endswith(f".{name}"))
    lines = [line.strip() for line in help_of(name).split("Examples:")[1].splitlines()]
    assert [line for line in lines if line] == module.EXAMPLES.split("   |   ")


def test_every_command_is_in_the_list_with_a_whole_sentence() -> None:
    listed = help_of().split("Commands:")[1]
    assert "..." not in listed
    assert {line.split()[0] for line in listed.splitlines() if line[:3].strip()} >= set(NAMES)


def test_the_version_is_that_of_the_package() -> None:
    ran = CliRunner().invoke(app, ["--version"])
    assert (ran.exit_code, ran.stdout) == (0, f"edge {version(DISTRIBUTION)}\n")


def completed(project: Project, *words: str) -> list[str]:
    """What a shell offers for the last word."""
    program = "import os, sys; os.chdir(sys.argv.pop(1));"
    ran = subprocess.run(
        [sys.executable, "-c", f"{program} from edge.cli import main; sys.argv[0] = 'edge'; main()", str(project.root)],
        env={
            **os.environ,
            "_EDGE_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["edge", *words]),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_a_shell_completes_commands_sites_and_fields(project: Project) -> None:
    (project.sites / "depot.yaml").write_text("")
    assert completed(project, "pre") == ["preview"]
    assert completed(project, "preview", "de") == ["demo", "depot"]
    assert completed(project, "check", "demo", "dep") == ["depot"]
    assert completed(project, "explain", "k3s.datas") == ["k3s.datastore"]
    assert completed(project, "explain", "tier", "--site", "dep") == ["depot"]
    assert completed(project, "new", "x", "--from", "hpe") == ["hpe-el8000"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_each_shell_is_printed(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    ran = CliRunner().invoke(app, ["--show-completion", shell], prog_name="edge")
    assert ran.exit_code == 0
    assert "_EDGE_COMPLETE" in ran.stdout
