"""The catalogue of mutants cannot rot: each fault can be put in, changes something, and names tests that exist."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engine.environment import PROJECT_ROOT
from tests.mutants.__main__ import Result
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.promise)
def test_a_mutant_is_not_stale(mutant: Mutant, tmp_path: Path) -> None:
    (tmp_path / mutant.file).parent.mkdir(parents=True)
    shutil.copy(PROJECT_ROOT / mutant.file, tmp_path / mutant.file)
    assert not mutant.apply(tmp_path)
    assert (tmp_path / mutant.file).read_text() != (PROJECT_ROOT / mutant.file).read_text()
    for test in mutant.tests:
        assert (PROJECT_ROOT / test.partition("::")[0]).is_file(), test


def test_no_two_mutants_are_for_the_same_promise() -> None:
    promises = [mutant.promise for mutant in MUTANTS]
    assert len(promises) == len(set(promises))


def test_a_mutant_whose_text_has_gone_is_said_to_be_stale(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("something else")
    assert "stale" in Mutant("a promise", "file", "the text", "another", ()).apply(tmp_path)
    assert "stale" in Mutant("a promise", "no such file", "the text", "another", ()).apply(tmp_path)


def test_only_a_caught_mutant_or_one_with_a_reason_is_accepted() -> None:
    mutant = Mutant("a promise", "file", "old", "new", ("tests/test_it.py",))
    assert Result(mutant, caught_by=("tests/test_it.py::test_it",)).accepted
    assert not Result(mutant).accepted
    assert "SURVIVED" in Result(mutant).row()
    assert Result(replace(mutant, reason="nothing differs")).accepted
    assert not Result(replace(mutant, reason="nothing differs"), trouble="stale: there is no file").accepted
