"""One version of Pulumi, said in three places; exact pins everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.obtain.go_build import MODULE
from engine.obtain.pin import PULUMI_VERSION

ROOT = Path(__file__).parents[2]


def _pins(name: str) -> dict[str, str]:
    lines = (line.strip() for line in (ROOT / name).read_text().splitlines())
    return dict(re.split(r"==|$", line, maxsplit=1)[:2] for line in lines if line and not line.startswith(("#", "--")))


def _constraints() -> dict[str, str]:
    """Those of the program, and those of the tools on top of them."""
    run, tools = _pins("constraints.txt"), _pins("constraints-dev.txt")
    assert not run.keys() & tools.keys()
    return run | tools


def test_the_sdk_the_cli_and_the_go_modules_are_of_one_version() -> None:
    assert _pins("requirements.txt")["pulumi"] == PULUMI_VERSION
    modules = dict(re.findall(r"(github\.com/pulumi/pulumi/(?:pkg|sdk)/v3) v(\S+)", (MODULE / "go.mod").read_text()))
    assert set(modules.values()) == {PULUMI_VERSION}
    assert len(modules) == 2


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "constraints.txt", "constraints-dev.txt"])
def test_every_requirement_is_an_exact_pin(name: str) -> None:
    loose = [package for package, version in _pins(name).items() if not re.fullmatch(r"[0-9][0-9A-Za-z.]*", version)]
    assert not loose


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_constraints_agree_with_the_requirements(name: str) -> None:
    constraints = {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in _constraints().items()}
    wanted = {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in _pins(name).items()}
    assert {package: constraints.get(package) for package in wanted} == wanted


def _locked() -> dict[str, str]:
    """Packages of requirements.lock as they stand there, with their lines."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    return {block.partition("==")[0].lower().replace("_", "-"): block for block in blocks if "==" in block}


def test_setup_installs_what_the_constraints_say_and_no_file_without_a_checksum() -> None:
    versions = {package: re.split(r"==|[ \\]", block)[1] for package, block in _locked().items()}
    assert versions == {package.lower().replace("_", "-"): version for package, version in _constraints().items()}
    loose = [package for package, block in _locked().items() if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", block)]
    assert not loose
    installs = [line for line in (ROOT / "Makefile").read_text().splitlines() if "$(PIP_INSTALL) " in line]
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)


def test_a_package_other_than_the_locked_one_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "semver-3.1.1-py3-none-any.whl").write_bytes(b"another file of the same name")
    (tmp_path / "requirements.lock").write_text(_locked()["semver"])
    pip = [sys.executable, "-m", "pip", "--isolated", "download", "--no-index", "--find-links", str(tmp_path)]
    done = subprocess.run(
        [
            *pip,
            "--require-hashes",
            "--requirement",
            str(tmp_path / "requirements.lock"),
            "--dest",
            str(tmp_path / "to"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
