"""Builds the Pulumi CLI from the Go modules pinned in pulumi_cli/, where the official download cannot be reached.

About five minutes on two cores the first time, none after: the result is kept in the cache under a name that holds a
hash of the pins.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.obtain import cache
from engine.obtain.pin import PULUMI_VERSION, EngineError
from engine.obtain.progress import Progress

MODULE = Path(__file__).with_name("pulumi_cli")
_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
# The Automation API reads the version from the executable, so it must be linked in.
_LINK = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI_VERSION}"
# Since this version `go` fetches the toolchain that go.mod asks for, where that is allowed.
_GO_WITH_TOOLCHAINS = (1, 21)
# Where the official archive goes; many shells have it on PATH only after a new login.
_GO_ELSEWHERE = "/usr/local/go/bin"
_LAST_LINES = 8


def cached_path() -> Path:
    """Where a build of these pins is, if there is one."""
    pins = hashlib.sha256((MODULE / "go.mod").read_bytes() + (MODULE / "go.sum").read_bytes()).hexdigest()[:12]
    return cache.root() / f"{PULUMI_VERSION}-go{pins}" / "bin" / "pulumi"


def build() -> Path:
    """Build the pinned CLI into the cache and return its path; raises EngineError."""
    go = find_go()
    destination = cached_path()
    with cache.filling(destination.parents[1]) as aside:
        if not destination.exists():
            title = f"Building the Pulumi CLI {PULUMI_VERSION} from Go modules (once, some minutes)"
            compile_program(go, MODULE, _PACKAGE, aside / "bin" / "pulumi", link=_LINK, title=title)
    return destination


def wanted_go(module: Path | None = None) -> tuple[int, ...]:
    """The Go version that the pins ask for."""
    match = re.search(r"^go (\S+)$", ((module or MODULE) / "go.mod").read_text(), re.MULTILINE)
    assert match is not None
    return _numbers(match[1])


def find_go(module: Path | None = None) -> str:
    """A `go` that can build the pins; raises EngineError naming what is missing."""
    needed = wanted_go(module)
    wanted = ".".join(str(number) for number in needed)
    go = shutil.which("go") or shutil.which("go", path=_GO_ELSEWHERE)
    if go is None:
        raise EngineError(f"a build from source needs Go: go >= {wanted} not found on PATH")
    said = subprocess.run([go, "env", "GOVERSION", "GOTOOLCHAIN"], capture_output=True, text=True, check=False)
    lines = said.stdout.splitlines()
    version = _numbers(lines[0]) if lines else ()
    may_fetch = version >= _GO_WITH_TOOLCHAINS and lines[1:2] != ["local"]
    if version < needed and not may_fetch:
        have = ".".join(str(number) for number in version) or "unknown"
        raise EngineError(f"a build from source needs go >= {wanted}; {go} is version {have}")
    return go


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def compile_program(
    go: str,
    module: Path,
    package: str,
    target: Path,
    *,
    link: str,
    title: str,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Build ``package`` as pinned in the folder ``module`` into the file ``target``; raises EngineError.

    ``link`` is for the linker, ``environment`` comes on top of this process's own.
    """
    with Progress(title) as progress:
        run = functools.partial(_run, module, environment or {})
        modules = 0
        packages: set[str] = set()

        def module_line(line: str) -> None:
            nonlocal modules
            if line.startswith("go: downloading"):
                modules += 1
                progress.update(f"{modules} modules fetched")

        listed = run([go, "list", "-mod=readonly", "-deps", package], module_line)
        total = len(listed)

        def package_line(line: str) -> None:
            if not line.startswith("go: "):
                packages.add(line)
                progress.update(f"{len(packages)} of {total} packages compiled")

        progress.update(f"{total} packages to compile")
        run([go, "build", "-mod=readonly", "-v", "-ldflags", link, "-o", str(target), package], package_line)


def _run(
    module: Path, environment: Mapping[str, str], command: list[str], each_line_of_stderr: Callable[[str], None]
) -> list[str]:
    """Run in the pinned module's folder; lines of stdout. A failure carries the last lines that go wrote."""
    environment = {**os.environ, "GOWORK": "off", **environment}
    last: deque[str] = deque(maxlen=_LAST_LINES)
    process = subprocess.Popen(
        command, cwd=module, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    assert process.stderr is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        for line in process.stderr:
            last.append(line.rstrip())
            each_line_of_stderr(line.strip())
        process.wait()
        reader.join()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode != 0:
        raise EngineError("the build from source failed:\n" + "\n".join(f"      {line}" for line in last))
    return lines
