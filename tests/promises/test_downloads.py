"""What a host runs is what the site file pins: `fetch`, as every script has it, run here on files of the test's own."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.promises.recordings import commands, script

WRONG = "0" * 64


@pytest.fixture(scope="module")
def prelude() -> str:
    """The functions in front of the script that installs K3s, up to the end of `fetch`."""
    text = script(commands("k3s")[0])
    end = text.index("\n}\n", text.index("\nfetch() {")) + len("\n}\n")
    return text[:end]


def fetch(prelude: str, source: Path, sha256: str, target: Path) -> subprocess.CompletedProcess[str]:
    command = f"{prelude}\nfetch {source.as_uri()} {sha256} {target} 0755"
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)


def test_a_file_with_the_pinned_checksum_is_installed(prelude: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "folder" / "target"
    source.write_text("a program")
    done = fetch(prelude, source, hashlib.sha256(b"a program").hexdigest(), target)
    assert done.returncode == 0, done.stderr
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("a program", 0o755)


def test_a_file_with_another_checksum_is_refused_and_leaves_nothing(prelude: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "folder" / "target"
    source.write_text("another program")
    done = fetch(prelude, source, WRONG, target)
    assert done.returncode != 0
    assert "SHA-256" in done.stderr
    assert list(target.parent.iterdir()) == []


def test_an_installed_file_that_was_changed_is_put_right(prelude: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("a program")
    target.write_text("changed on the host")
    assert fetch(prelude, source, hashlib.sha256(b"a program").hexdigest(), target).returncode == 0
    assert target.read_text() == "a program"
