"""The official Pulumi CLI, downloaded by the SDK's own installer into the cache.

Fails fast and with one line where there is no network: the caller has another way.
"""

from __future__ import annotations

import subprocess
import threading
import urllib.request
from pathlib import Path

from semver import VersionInfo

from engine.obtain import cache
from engine.obtain.pin import PULUMI_VERSION, EngineError
from engine.obtain.progress import Progress

# Where PulumiCommand.install gets its installer; asked first, because the installer itself has no time limit.
_INSTALLER = "https://get.pulumi.com/install.sh"
_REACHABLE_WITHIN_SECONDS = 6.0
_POLL_SECONDS = 0.5


def cached_path() -> Path:
    """Where a downloaded CLI of the pinned version is, if there is one."""
    return cache.root() / PULUMI_VERSION / "bin" / "pulumi"


def reachable() -> bool:
    """Whether the installer answers within a few seconds, name resolution included."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(_INSTALLER, timeout=_REACHABLE_WITHIN_SECONDS):
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
        raise EngineError(f"the official download cannot be reached ({_INSTALLER})")
    destination = cached_path()
    folder = destination.parents[1]
    with cache.filling(folder) as aside:
        if not destination.exists():
            _install(aside)
    return destination


def _install(folder: Path) -> None:
    from pulumi.automation import PulumiCommand

    problem: list[BaseException] = []

    def install() -> None:
        try:
            PulumiCommand.install(root=str(folder), version=VersionInfo.parse(PULUMI_VERSION))
        except BaseException as error:
            problem.append(error)

    with Progress(f"Downloading the Pulumi CLI {PULUMI_VERSION}") as progress:
        # A daemon, so that an interrupted setup ends at once.
        thread = threading.Thread(target=install, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
            progress.update("running the official installer")
    if problem:
        raise EngineError(f"the official download failed: {_reason(problem[0])}") from problem[0]
    if not (folder / "bin" / "pulumi").exists():
        raise EngineError("the official download failed: the installer left no bin/pulumi")


def _reason(error: BaseException) -> str:
    if isinstance(error, subprocess.CalledProcessError) and error.output:
        return str(error.output.decode(errors="replace").strip().splitlines()[-1])
    return f"{type(error).__name__}: {error}"
