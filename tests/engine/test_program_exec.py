"""What a user reads when a program fails: their own lines, and nothing of the machinery."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

from engine.stand_in.program_exec import explain, make_importable


def _failure(folder: Path, code: str) -> BaseException:
    (folder / "__main__.py").write_text(code)
    with pytest.raises(Exception) as raised:  # noqa: PT011
        runpy.run_path(str(folder), run_name="__main__")
    return raised.value


def test_the_trace_of_a_failed_program_begins_in_the_program(tmp_path: Path) -> None:
    told = explain(_failure(tmp_path, "def site():\n    raise ValueError('no uplink')\nsite()\n"), str(tmp_path))
    first, second, third = told.splitlines()[:3]
    assert (first, second) == ("Program failed with an unhandled exception:", "Traceback (most recent call last):")
    assert third.strip() == f'File "{tmp_path}/__main__.py", line 3, in <module>'
    assert told.rstrip().endswith("ValueError: no uplink")
    assert "runpy" not in told


def test_the_cause_of_a_failure_is_kept(tmp_path: Path) -> None:
    told = explain(
        _failure(tmp_path, "try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('b')\n"), str(tmp_path)
    )
    assert "KeyError: 'a'" in told
    assert told.rstrip().endswith("ValueError: b")


def test_a_syntax_error_shows_its_own_line_and_no_frames(tmp_path: Path) -> None:
    told = explain(_failure(tmp_path, "x = = 1\n"), str(tmp_path))
    assert f'File "{tmp_path}/__main__.py", line 1' in told
    assert "importlib" not in told


def test_a_failure_outside_the_program_shows_all_it_has(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        _ = 1 / 0
    assert os.path.basename(__file__) in explain(raised.value, str(tmp_path))


def test_a_programs_folder_is_first_on_the_import_path_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/lib", str(tmp_path)])
    make_importable(str(tmp_path), str(tmp_path))
    assert sys.path == [str(tmp_path), "/lib"]


def test_a_single_file_finds_its_neighbours_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/lib"])
    (tmp_path / "sub").mkdir()
    make_importable(str(tmp_path / "sub" / "program.py"), str(tmp_path))
    assert sys.path == [str(tmp_path / "sub"), str(tmp_path), "/lib"]
