"""A machine for the engine's tests: its own PATH, cache, home, virtual environment, and stand-ins for executables."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.obtain import download
from engine.obtain.go_build import wanted_go
from engine.obtain.pin import PULUMI_VERSION

WANTED_GO = ".".join(map(str, wanted_go()))
"""The oldest version that builds the pinned modules."""

_PULUMI = '#!/bin/sh\necho "v{version}"\n'
# Answers like go, and builds an executable that answers like pulumi.
_GO = """#!/bin/sh
case "$1" in
  env) echo "go{version}"; echo "{toolchain}" ;;
  list) echo a/one; echo a/two ;;
  build)
    while [ $# -gt 0 ]; do
      if [ "$1" = -o ]; then target=$2; fi
      shift
    done
    /bin/mkdir -p "${{target%/*}}"
    printf '#!/bin/sh\\necho v{pulumi}\\n' > "$target"
    {then}
    /bin/chmod +x "$target"
    echo a/one >&2
    ;;
esac
"""


def write_executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@dataclass(frozen=True)
class Machine:
    """Folders that stand for a user's machine. Nothing of the real PATH is visible in it."""

    root: Path

    @property
    def venv_bin(self) -> Path:
        return self.root / "venv" / "bin"

    @property
    def cache(self) -> Path:
        return self.root / "cache" / "edge" / "pulumi"

    def on_path(self, folder: str) -> Path:
        path = self.root / folder
        path.mkdir(parents=True, exist_ok=True)
        if str(path) not in os.environ["PATH"].split(os.pathsep):
            os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], str(path)])
        return path

    def pulumi(self, folder: str, version: str) -> Path:
        return write_executable(self.on_path(folder) / "pulumi", _PULUMI.format(version=version))

    def official_host(self, folder: str) -> Path:
        return write_executable(self.on_path(folder) / "pulumi-language-python", "#!/bin/sh\necho official\n")

    def go(self, version: str = WANTED_GO, toolchain: str = "local", then: str = ":") -> Path:
        text = _GO.format(pulumi=PULUMI_VERSION, version=version, toolchain=toolchain, then=then)
        return write_executable(self.on_path("go") / "go", text)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    from engine.obtain import download, go_build

    own = Machine(tmp_path)
    own.venv_bin.mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setenv("PATH", str(own.venv_bin))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EDGE_PULUMI", raising=False)
    # No test asks the network; those about the download say what it answers.
    monkeypatch.setattr(download, "reachable", lambda: False)
    monkeypatch.setattr(go_build, "_GO_ELSEWHERE", str(tmp_path / "nowhere"))
    return own


@dataclass
class Publisher:
    """Where the official archive and the publisher's list of checksums come from."""

    folder: Path
    pins: Path

    def publishes(self, content: Callable[[Path], None]) -> str:
        """Put up an archive that holds what ``content`` writes; returns its checksum, which no list has yet."""
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            content(Path(work))
            with tarfile.open(self.archive, "w:gz") as archive:
                archive.add(work, "pulumi")
        return hashlib.sha256(self.archive.read_bytes()).hexdigest()

    @property
    def archive(self) -> Path:
        return self.folder / download.archive()

    def lists(self, sha256: str) -> None:
        (self.folder / f"pulumi-{PULUMI_VERSION}-checksums.txt").write_text(f"{sha256}  {download.archive()}\n")

    def pins_one(self, sha256: str) -> None:
        self.pins.write_text(f"# pinned\n{sha256}  {download.archive()}\n")


@pytest.fixture
def publisher(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """A reachable publisher with nothing to download yet."""
    own = Publisher(tmp_path / "publisher", tmp_path / "checksums.txt")
    own.folder.mkdir()
    own.pins.write_text("# none\n")
    monkeypatch.setattr(download, "reachable", lambda: True)
    monkeypatch.setattr(download, "_ARCHIVES", own.folder.as_uri())
    monkeypatch.setattr(download, "_LISTS", own.folder.as_uri())
    monkeypatch.setattr(download, "_PINNED", own.pins)
    return own
