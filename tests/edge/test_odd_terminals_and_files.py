"""A terminal that knows ASCII only, names that a terminal would obey, files that are none."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from edge.show import render
from sitefile.yaml_source import read
from stacks.catalogue import PROJECT_ROOT

DEMO = PROJECT_ROOT / "stacks" / "sites" / "demo.yaml"


def checked(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", "check", *arguments],
        cwd=PROJECT_ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
        timeout=120,
    )


def test_a_terminal_that_knows_ascii_only_gets_all_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text("site: démo\n", encoding="utf-8")
    done = checked(str(tmp_path / "demo.yaml"), PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 2
    assert rb"`site` cannot be `d\xe9mo`" in done.stdout
    assert b"UnicodeEncodeError" not in done.stdout + done.stderr


def test_a_terminal_does_not_obey_the_name_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "de\x1b[31mmo.yaml"
    shutil.copy(DEMO, file)
    done = checked(str(file))
    assert done.returncode == 2
    assert b"\x1b" not in done.stdout + done.stderr
    assert "de·[31mmo.yaml:".encode() in done.stdout


def test_nothing_that_is_shown_reaches_the_terminal_as_a_command() -> None:
    out = io.StringIO()
    terminal = render._Terminal(file=out, markup=False, highlight=False, force_terminal=True, color_system="standard")
    table = Table()
    table.add_column("a\x1b]0;title\x07b")
    table.add_row(Text("c\x1b[2Jd", style="red"))
    for shown in ("e\x1b[31mf\ng\x9bh", Text.assemble(("i\rj", "bold"), "k"), table):
        terminal.print(shown)
    text = out.getvalue()
    for sequence in ("\x1b]0;", "\x1b[2J", "\x1b[31mf", "\x9b", "\r", "\x07"):
        assert sequence not in text
    assert "e·[31mf\ng·h" in text
    assert "\x1b[31mc·[2Jd" in text  # the style is the program's own


def test_a_pipe_among_the_site_files_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (problem,) = read(tmp_path / "pipe.yaml").problems
    assert problem.what == "this is no regular file"
