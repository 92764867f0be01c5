"""That nothing is left to be built while a test of the lab waits for a host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lab
from engine.obtain.pin import EngineError
from lab import programs

_BUILDS = re.compile(r"\b(?:go_program|completed_program|kept)\(")
_APART = {"builds": "what builds them", "kubernetes.kube_vip": "of `make lab-virtual-ip`, which builds it first"}


def test_every_module_that_builds_something_is_asked_before_the_tests() -> None:
    folder = Path(lab.__file__).parent
    found = {path for path in folder.rglob("*.py") if _BUILDS.search(path.read_text())}
    names = {".".join(path.relative_to(folder).with_suffix("").parts) for path in found}
    imports = re.findall(r"^from lab(?:\.(\w+))? import (.+)$", Path(programs.__file__).read_text(), re.MULTILINE)
    asked = {
        f"{folder}.{part}".lstrip(".") for folder, said in imports for part in re.findall(r"(\w+)(?:,|$| as)", said)
    }
    assert names - _APART.keys() <= asked
    assert _APART.keys() <= names


def test_one_that_cannot_be_built_is_named_and_the_others_are_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built = []

    def fails() -> None:
        raise EngineError("a build from source needs Go")

    monkeypatch.setattr(programs, "BUILDS", {"first": fails, "second": lambda: built.append("second")})
    assert programs.main() == 1
    assert built == ["second"]
    assert capsys.readouterr().err == "error: the lab's first cannot be built: a build from source needs Go\n"
