"""Which Pulumi CLI is used, and in which order one is looked for. `download` fetches one, `go_build` builds one.

Order: what `edge setup` or `make setup` installed, then a new enough `pulumi` on PATH, then the cache; only `obtain`,
which these two call, goes on to the official download and then to a build from the Go modules pinned in pulumi_cli/.
`EDGE_PULUMI=path|download|build` allows one origin only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from semver import VersionInfo

from engine.obtain.pin import PULUMI_VERSION, EngineError

if TYPE_CHECKING:
    from pulumi.automation import PulumiCommand

_VERSION_TIMEOUT_SECONDS = 60.0

Origin = Literal["path", "download", "go-build"]
_FORCED: dict[str, Origin] = {"path": "path", "download": "download", "build": "go-build"}


@dataclass(frozen=True)
class PulumiCli:
    """A `pulumi` executable that this project can use."""

    path: Path
    version: str
    origin: str
    """`path`, `download` or `go-build`."""


def locate() -> PulumiCli:
    """The CLI to use, without network and without a build; raises EngineError when there is none yet."""
    tried: list[str] = []
    found = recorded() or next(_at_hand(tried), None)
    if found is None:
        raise EngineError(_nothing("There is no usable Pulumi CLI yet.", tried, "Run `edge setup`, which gets one."))
    return found


def obtain() -> PulumiCli:
    """The CLI to install: one on this machine, else the official download, else the pinned Go build."""
    from engine.obtain import download, go_build

    tried: list[str] = []
    found = next(_at_hand(tried), None)
    if found is not None:
        return found
    ways: dict[Origin, Callable[[], Path]] = {"download": download.fetch, "go-build": go_build.build}
    for origin, way in ways.items():
        if not _allowed(origin):
            continue
        try:
            path = way()
        except EngineError as error:
            tried.append(str(error))
            continue
        return PulumiCli(path=path, version=version_of(path), origin=origin)
    raise EngineError(
        _nothing(
            f"The Pulumi CLI {PULUMI_VERSION} could not be obtained.",
            tried,
            f"Install Pulumi {PULUMI_VERSION} or newer (https://www.pulumi.com/docs/install/) so that it is on PATH, "
            "or install Go (https://go.dev/dl/), then run `edge setup` again.",
        )
    )


def automation_command(cli: PulumiCli) -> PulumiCommand:
    """The CLI for the Automation API. It is not run to ask for its version, which is known."""
    from pulumi.automation import PulumiCommand

    class Located(PulumiCommand):
        def __init__(self) -> None:
            self.command = str(cli.path)
            self.version = VersionInfo.parse(cli.version)

    return Located()


# What `make setup` installed.


def record_file() -> Path:
    """Where setup notes which CLI it installed into this virtual environment."""
    return Path(sys.prefix) / "edge-pulumi.json"


def installed_path() -> Path:
    """Where setup installs the CLI in this virtual environment."""
    return Path(sys.prefix) / "bin" / "pulumi"


def record(cli: PulumiCli) -> None:
    """Note what has been installed at `installed_path`, with what shows that it is still the same file."""
    record_file().write_text(
        json.dumps({"version": cli.version, "origin": cli.origin, "source": str(cli.path), "file": _mark()}, indent=2)
    )


def recorded() -> PulumiCli | None:
    """The installed CLI, if it is still the file that was recorded, still good enough and of an allowed origin."""
    try:
        noted: dict[str, Any] = json.loads(record_file().read_text())
        if noted["file"] != _mark() or not good_enough(noted["version"]) or not _allowed(noted["origin"]):
            return None
        return PulumiCli(path=installed_path(), version=noted["version"], origin=noted["origin"])
    except (OSError, ValueError, KeyError):
        return None


def _mark() -> list[int]:
    status = installed_path().stat()
    return [status.st_size, status.st_mtime_ns]


# What else is on this machine.


def good_enough(version: str) -> bool:
    """Whether a CLI of this version works with the pinned SDK: the same major version, not older than the pin."""
    try:
        found = VersionInfo.parse(version.removeprefix("v"))
    except ValueError:
        return False
    wanted = VersionInfo.parse(PULUMI_VERSION)
    return found.major == wanted.major and found >= wanted


def version_of(executable: Path) -> str:
    """What `pulumi version` says, without the leading v; raises EngineError when it cannot be run."""
    try:
        said = subprocess.run(
            [str(executable), "version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_VERSION_TIMEOUT_SECONDS,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(f"{executable} does not run: {error}") from error
    return said.stdout.strip().removeprefix("v")


def _at_hand(tried: list[str]) -> Iterator[PulumiCli]:
    # Not at the top: most runs find what `make setup` recorded, and need neither HTTP nor a progress bar.
    from engine.obtain import download, go_build

    if _allowed("path"):
        yield from _on_path(tried)
    cached: dict[Origin, Path] = {"download": download.cached_path(), "go-build": go_build.cached_path()}
    for origin, path in cached.items():
        if _allowed(origin) and os.access(path, os.X_OK):
            yield PulumiCli(path=path, version=PULUMI_VERSION, origin=origin)


def _on_path(tried: list[str]) -> Iterator[PulumiCli]:
    own = installed_path().parent
    folders = [
        folder
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        if folder and not (own.exists() and Path(folder).exists() and own.samefile(folder))
    ]
    seen = set()
    for folder in folders:
        executable = shutil.which("pulumi", path=folder)
        if executable is None or Path(executable).resolve() in seen:
            continue
        path = Path(executable).absolute()
        seen.add(path.resolve())
        try:
            version = version_of(path)
        except EngineError as error:
            tried.append(str(error))
            continue
        if good_enough(version):
            yield PulumiCli(path=path, version=version, origin="path")
        else:
            major = PULUMI_VERSION.partition(".")[0]
            tried.append(f"{path} is version {version}; needed is {PULUMI_VERSION} or newer of major version {major}")
    if not seen:
        tried.append("no `pulumi` on PATH")


def _allowed(origin: str) -> bool:
    forced = os.environ.get("EDGE_PULUMI")
    if not forced:
        return True
    if forced not in _FORCED:
        raise EngineError(f"EDGE_PULUMI is {forced!r}; it may be path, download or build.")
    return _FORCED[forced] == origin


def _nothing(what: str, tried: list[str], remedy: str) -> str:
    lines = [what, *(f"  - {reason}" for reason in tried), remedy]
    if os.environ.get("EDGE_PULUMI"):
        lines.append(f"EDGE_PULUMI={os.environ['EDGE_PULUMI']} leaves the other origins out; unset it to allow them.")
    return "\n".join(lines)
