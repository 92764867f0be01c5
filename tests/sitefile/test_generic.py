"""The machinery is generic: it names no part of a site, and stands on YAML and pydantic alone."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sitefile

MODULES = sorted(Path(sitefile.__file__ or "").parent.glob("*.py"))
ALLOWED = {*sys.stdlib_module_names, "yaml", "pydantic", "pydantic_core", "sitefile"}
OF_SITES = re.compile(r"\b(?:sites?|tiers?|hosts?|stacks?|fleets?|pulumi|gitops|mesh|registrations?)\b", re.IGNORECASE)


def _imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 7


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_it_imports_only_yaml_and_pydantic(module: Path) -> None:
    assert set(_imported(module)) <= ALLOWED


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_it_names_no_part_of_a_site(module: Path) -> None:
    named = [line for line in module.read_text(encoding="utf-8").splitlines() if OF_SITES.search(line)]
    assert named == []
