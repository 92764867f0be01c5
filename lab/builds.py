"""Programs that the lab builds from pinned Go modules, once, into the user's cache.

Each result is kept under a digest of everything that its build reads: clones and branches share it, and another pin
makes another build. One build runs at a time.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from engine.obtain import cache, go_build
from engine.obtain.pin import EngineError
from lab.hosts.image import cache_folder

STATIC = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath -buildvcs=false"}
"""Environment of a build that links no C library: its program runs in an empty image."""


def kept(what: str, *parts: str) -> Path:
    """Where a result is kept that is made of ``parts``; two results share a lock if they share the folder."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    return cache_folder() / "programs" / f"{what}-{digest}"


def pinned(module: Path, dependency: str) -> str:
    """The version of ``dependency`` that the go.mod in the folder ``module`` pins, such as `v1.9.4`."""
    found = re.search(rf"^(?:require |\t){re.escape(dependency)} (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    assert found is not None, f"{dependency} is not pinned"
    return found[1]


def sources(folder: Path) -> Iterator[str]:
    """Names and texts of all that a Go build of this folder reads."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith("_test.go"):
            yield str(path.relative_to(folder))
            yield path.read_text()


def go_program(
    module: Path,
    package: str,
    name: str,
    *,
    link: str = "-s -w",
    environment: Mapping[str, str] = STATIC,
    pins: Path | None = None,
) -> Path:
    """The program of ``package``, as the go.mod in the folder ``module`` pins it; built where it is not in the cache.

    ``pins`` is a folder with another go.mod and go.sum for the same source. Raises EngineError with one clear line.
    """
    of_pins = sources(pins) if pins is not None else ()
    kept_in = kept(name, package, link, str(sorted(environment.items())), *sources(module), *of_pins)
    if pins is not None:
        environment = {**environment, "GOFLAGS": f"{environment.get('GOFLAGS', '')} -modfile={pins / 'go.mod'}"}

    def build(go: str, output: Path) -> None:
        go_build.compile_program(go, module, package, output, link=link, title=_title(name), environment=environment)

    return _built(kept_in, module, name, build, c_compiler=environment.get("CGO_ENABLED") == "1")


def completed_program(
    module: Path,
    dependency: str,
    package: str,
    name: str,
    complete: Callable[[Path], None],
    *marks: str,
    link: str = "-s -w",
    environment: Mapping[str, str] = STATIC,
) -> Path:
    """The program of ``package`` in the module ``dependency``, which lacks files that a release has.

    ``complete`` puts it into a copy of the module; ``marks`` tell one completion from another. Raises EngineError.
    """

    def build(go: str, output: Path) -> None:
        with tempfile.TemporaryDirectory() as workplace:
            place = Path(workplace)
            copy = place / "dependency"
            shutil.copytree(module_folder(module, dependency), copy, copy_function=shutil.copyfile)
            for below in (copy, *copy.rglob("*/")):
                below.chmod(0o755)
            complete(copy)
            shutil.copyfile(module / "go.sum", place / "go.sum")
            pins = (module / "go.mod").read_text()
            (place / "go.mod").write_text(f"{pins}\nreplace {dependency} => ./dependency\n")
            go_build.compile_program(
                go, place, f"{dependency}/{package}", output, link=link, title=_title(name), environment=environment
            )

    kept_in = kept(name, link, str(sorted(environment.items())), *marks, *sources(module))
    return _built(kept_in, module, name, build)


def _built(
    kept_in: Path, module: Path, name: str, build: Callable[[str, Path], None], *, c_compiler: bool = False
) -> Path:
    """The program ``name`` in the folder ``kept_in``, which ``build`` makes with a `go` if it is not there."""
    if not kept_in.exists():
        go = tools(module, c_compiler=c_compiler)
        with cache.filling(kept_in, f"the lab's {name}") as aside:
            if not kept_in.exists():
                build(go, aside / name)
    return kept_in / name


def _title(name: str) -> str:
    return f"Building the lab's {name} from Go modules (once, some minutes)"


def module_folder(module: Path, path: str) -> Path:
    """The folder of the dependency ``path`` with all its files, not only Go source; downloaded where needed."""
    told = run_tool([go_build.find_go(module), "mod", "download", "-json", path], cwd=module)
    return Path(json.loads(told)["Dir"])


def tools(module: Path, *, c_compiler: bool = False) -> str:
    """A `go` that can build ``module``. Raises EngineError naming what is missing."""
    if c_compiler and shutil.which("gcc") is None:
        raise EngineError("a build for the lab needs a C compiler: gcc not found on PATH")
    return go_build.find_go(module)


def run_tool(command: list[str], cwd: Path | None = None) -> str:
    """Standard output of a program that makes something here; raises EngineError with its last line."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EngineError(f"{command[0]} {command[1]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout
