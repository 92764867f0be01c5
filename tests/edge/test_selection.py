"""Which files a name on the command line means."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.run.selection import selected


def test_a_site_is_found_by_its_name_even_where_a_folder_is_called_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "stacks" / "sites" / "lab.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("site: lab\n")
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)
    assert selected(["lab"], tmp_path) == [file]
    (tmp_path / "lab" / "other.yaml").write_text("site: other\n")
    assert selected(["lab/"], tmp_path) == [Path("lab/other.yaml")]
