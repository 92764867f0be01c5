"""The official Pulumi CLI, downloaded into the cache and compared with its SHA-256 before it is unpacked.

The checksum is the one in pulumi_cli/checksums.txt. For a platform that is not listed there, it is the publisher's own
list, fetched over TLS from the release's page, another server than the download's. Fails fast and with one line where
there is no network: the caller has another way.
"""

from __future__ import annotations

import hashlib
import platform
import re
import tarfile
import tempfile
import threading
import urllib.request
from pathlib import Path

from engine.obtain import cache
from engine.obtain.pin import PULUMI_VERSION, EngineError
from engine.obtain.progress import Progress

_ARCHIVES = "https://get.pulumi.com/releases/sdk"
_LISTS = f"https://github.com/pulumi/pulumi/releases/download/v{PULUMI_VERSION}"
_PINNED = Path(__file__).with_name("pulumi_cli") / "checksums.txt"
_REACHABLE_WITHIN_SECONDS = 6.0
_SILENT_FOR_SECONDS = 60.0
_CHUNK = 1024 * 1024
_MOST_BYTES = 1024 * 1024 * 1024
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def cached_path() -> Path:
    """Where a downloaded CLI of the pinned version is, if there is one."""
    return cache.root() / PULUMI_VERSION / "bin" / "pulumi"


def archive() -> str:
    """Name of the release's file for this machine."""
    machine = platform.machine().lower()
    return f"pulumi-v{PULUMI_VERSION}-{platform.system().lower()}-{_MACHINES.get(machine, machine)}.tar.gz"


def reachable() -> bool:
    """Whether the server answers within a few seconds, name resolution included."""
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(f"{_ARCHIVES}/{archive()}", method="HEAD")
            with urllib.request.urlopen(request, timeout=_REACHABLE_WITHIN_SECONDS):
                answered.set()
        except (OSError, ValueError):
            pass
        finally:
            finished.set()

    finished = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    finished.wait(_REACHABLE_WITHIN_SECONDS)
    return answered.is_set()


def fetch() -> Path:
    """Download the pinned CLI into the cache and return its path; raises EngineError."""
    if not reachable():
        raise EngineError(f"the official download cannot be reached ({_ARCHIVES})")
    destination = cached_path()
    folder = destination.parents[1]
    with cache.filling(folder) as aside:
        if not destination.exists():
            _install(aside)
    return destination


def _install(folder: Path) -> None:
    name = archive()
    try:
        wanted = _checksum(name)
        with tempfile.TemporaryFile() as file, Progress(f"Downloading the Pulumi CLI {PULUMI_VERSION}") as progress:
            digest, size = hashlib.sha256(), 0
            with urllib.request.urlopen(f"{_ARCHIVES}/{name}", timeout=_SILENT_FOR_SECONDS) as answer:
                while (chunk := answer.read(_CHUNK)) and size < _MOST_BYTES:
                    digest.update(chunk)
                    file.write(chunk)
                    size += len(chunk)
                    progress.update(f"{size // _CHUNK} MiB")
            if digest.hexdigest() != wanted:
                raise EngineError(f"{name} has SHA-256 {digest.hexdigest()}, expected {wanted}: it was not unpacked")
            file.seek(0)
            with tarfile.open(fileobj=file) as content:
                # Python before 3.11.4 (Debian 12 has 3.11.2) knows no filter. The archive's checksum is verified.
                content.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
                content.extractall(folder)
    except (OSError, tarfile.TarError) as error:
        raise EngineError(f"the official download failed: {type(error).__name__}: {error}") from error
    if not (folder / "pulumi" / "pulumi").exists():
        raise EngineError(f"the official download failed: {name} holds no pulumi/pulumi")
    (folder / "pulumi").rename(folder / "bin")


def _checksum(name: str) -> str:
    """The SHA-256 of a release's file. Raises EngineError where no list has it."""
    pinned = _listed(name, _PINNED.read_text())
    if pinned is None:
        source = f"{_LISTS}/pulumi-{PULUMI_VERSION}-checksums.txt"
        with urllib.request.urlopen(source, timeout=_REACHABLE_WITHIN_SECONDS) as answer:
            pinned = _listed(name, answer.read(_CHUNK).decode(errors="replace"))
    if pinned is None:
        raise EngineError(f"no checksum is known for {name}: it was not downloaded")
    return pinned


def _listed(name: str, lines: str) -> str | None:
    found = re.search(rf"^([0-9a-f]{{64}}) [ *]{re.escape(name)}$", lines, re.MULTILINE)
    return found[1] if found else None
