"""One version of Pulumi, said in three places; exact pins everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.obtain.go_build import MODULE
from engine.obtain.pin import PULUMI_VERSION

ROOT = Path(__file__).parents[2]


def _pins(name: str) -> dict[str, str]:
    lines = (line.strip() for line in (ROOT / name).read_text().splitlines())
    return dict(re.split(r"==|$", line, maxsplit=1)[:2] for line in lines if line and not line.startswith(("#", "--")))


def test_the_sdk_the_cli_and_the_go_modules_are_of_one_version() -> None:
    assert _pins("requirements.txt")["pulumi"] == PULUMI_VERSION
    modules = dict(re.findall(r"(github\.com/pulumi/pulumi/(?:pkg|sdk)/v3) v(\S+)", (MODULE / "go.mod").read_text()))
    assert set(modules.values()) == {PULUMI_VERSION}
    assert len(modules) == 2


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "constraints.txt"])
def test_every_requirement_is_an_exact_pin(name: str) -> None:
    loose = [package for package, version in _pins(name).items() if not re.fullmatch(r"[0-9][0-9A-Za-z.]*", version)]
    assert not loose


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_constraints_agree_with_the_requirements(name: str) -> None:
    constraints = {
        re.sub(r"[-_.]+", "-", package).lower(): version for package, version in _pins("constraints.txt").items()
    }
    wanted = {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in _pins(name).items()}
    assert {package: constraints.get(package) for package in wanted} == wanted
