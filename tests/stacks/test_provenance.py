"""What a site was built from: one word that changes with the site and with the program, and with nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stacks import provenance
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site
from stacks.provenance import built_from


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A small program with a part of each kind."""
    for name in ("__main__.py", "constraints.txt", "components/a.py", "components/k3s/b.sh.j2", "stacks/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def word(root: Path) -> str:
    provenance._program.cache_clear()
    return built_from(load_site("demo"), root)


def test_equal_sites_in_equal_programs_have_the_same_word(
    program: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "program"
    shutil.copytree(program, elsewhere)
    assert word(program) == word(elsewhere)


@pytest.mark.parametrize("name", ["__main__.py", "constraints.txt", "components/k3s/b.sh.j2", "stacks/c.py"])
def test_every_part_of_the_program_counts(program: Path, name: str) -> None:
    before = word(program)
    (program / name).write_text("something else")
    assert word(program) != before


def test_a_part_that_comes_or_moves_counts(program: Path) -> None:
    before = word(program)
    (program / "components/a.py").rename(program / "components/z.py")
    assert word(program) != before


@pytest.mark.parametrize(
    "name", ["components/__pycache__/a.pyc", "stacks/sites/other.yaml", "docs/a.md", "Pulumi.x.yaml"]
)
def test_what_is_compiled_or_no_part_of_this_site_does_not_count(program: Path, name: str) -> None:
    before = word(program)
    (program / name).parent.mkdir(parents=True, exist_ok=True)
    (program / name).write_text("anything")
    assert word(program) == before


def test_what_the_site_says_counts() -> None:
    demo = load_site("demo")
    assert built_from(demo) != built_from(demo.model_copy(update={"description": "the shop at the corner"}))


def test_nothing_of_the_program_itself_is_left_out() -> None:
    """The patterns are made for this project: each finds something in it."""
    for pattern in provenance._PROGRAM:
        assert any(PROJECT_ROOT.glob(pattern)), pattern
