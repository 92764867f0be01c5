"""The lab's `k3s` and the images beside it, built from the pinned Go modules in k3s/ and images/ into the user's cache.

About five minutes on two cores the first time, none after: each result is kept under a digest of its sources.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine import cache, go_build
from engine.cli import EngineError
from lab.hosts.image import cache_folder
from lab.kubernetes.archive import Image, docker_archive, zstd_frame
from lab.kubernetes.mirror import BINARY, IMAGES

VERSION = "v1.34.1+k3s1"
"""The release that the lab's k3s says it is; its Kubernetes is in fact of the part before the `+`."""

PROBE_IMAGE = "docker.io/edge-lab/probe:lab"
"""For tests: `/probe serve`, `/probe get URL`, `/probe resolve NAME`; runs in a restricted namespace."""

_HERE = Path(__file__).parent
_K3S = _HERE / "k3s"
_IMAGES = _HERE / "images"
_STATIC = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath -buildvcs=false"}
# The table by which kine tells the size of the database.
_WITH_SQLITE = {**_STATIC, "CGO_ENABLED": "1", "CGO_CFLAGS": "-O2 -g -DSQLITE_ENABLE_DBSTAT_VTAB=1"}


@dataclass(frozen=True)
class Release:
    """What a mirror serves of one version."""

    version: str
    binary: Path
    images: Path


def build(version: str = VERSION) -> Release:
    """The release, built where it is not in the cache yet; raises EngineError with one clear line.

    ``version`` only labels the binary: whatever it says, the same Kubernetes is inside.
    """
    return Release(version, _binary(version), _images())


def _binary(version: str) -> Path:
    folder = _kept("k3s", version, str(_WITH_SQLITE), *_sources(_K3S))
    if not folder.exists():
        go = _tools(_K3S)
        with cache.filling(folder, "the lab's k3s") as aside:
            if not folder.exists():
                title = f"Building the lab's k3s {version} from Go modules (once, some minutes)"
                go_build.compile_program(
                    go, _K3S, ".", aside / BINARY, link=_link(version), title=title, environment=_WITH_SQLITE
                )
    return folder / BINARY


def _images() -> Path:
    # Pause comes with Kubernetes' own module, so that its version is that of the binary.
    folder = _kept("images", (_K3S / "go.sum").read_text(), *_sources(_IMAGES), (_HERE / "archive.py").read_text())
    if not folder.exists():
        go = _tools(_IMAGES)
        with cache.filling(folder, "the lab's images") as aside:
            if not folder.exists():
                with tempfile.TemporaryDirectory() as programs:
                    (aside / IMAGES).write_bytes(_archive(go, Path(programs)))
    return folder / IMAGES


def _archive(go: str, programs: Path) -> bytes:
    for name in ("probe", "coredns"):
        go_build.compile_program(
            go,
            _IMAGES,
            f"./{name}",
            programs / name,
            link="-s -w",
            title=f"Building {name} for the lab's clusters (once)",
            environment=_STATIC,
        )
    source = _module_folder(go, "k8s.io/kubernetes") / "build" / "pause" / "linux" / "pause.c"
    _check(["gcc", "-static", "-Os", "-s", "-DVERSION=lab", "-o", str(programs / "pause"), str(source)])
    images = (
        ("docker.io/rancher/mirrored-pause:3.6", "pause"),
        ("docker.io/edge-lab/coredns:lab", "coredns"),
        (PROBE_IMAGE, "probe"),
    )
    return zstd_frame(docker_archive([Image(name, (programs / file).read_bytes(), file) for name, file in images]))


def _module_folder(go: str, module: str) -> Path:
    said = json.loads(_check([go, "mod", "download", "-json", module], cwd=_K3S))
    return Path(said["Dir"])


def _tools(module: Path) -> str:
    """A `go` that can build; gcc is for SQLite and pause."""
    go = go_build.find_go(module)
    if shutil.which("gcc") is None:
        raise EngineError("a build of the lab's k3s needs a C compiler: gcc not found on PATH")
    return go


def _link(version: str) -> str:
    package = "k8s.io/component-base/version"
    _, minor, _ = version.removeprefix("v").split(".", 2)
    values = {"gitVersion": version, "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(["-s", "-w", *(f"-X {package}.{name}={value}" for name, value in values.items())])


def _kept(what: str, *parts: str) -> Path:
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    return cache_folder() / "kubernetes" / f"{what}-{digest}"


def _sources(folder: Path) -> Iterator[str]:
    """Names and texts of all that a build of this folder reads."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith("_test.go"):
            yield str(path.relative_to(folder))
            yield path.read_text()


def _check(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EngineError(f"{command[0]} {command[1]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def _main() -> None:
    try:
        made = build()
    except EngineError as error:
        raise SystemExit(f"error: {error}") from None
    print(made.binary, made.images, sep="\n")


if __name__ == "__main__":
    _main()
