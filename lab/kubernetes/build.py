"""The lab's `k3s` and the images beside it, built from the pinned Go modules in k3s/ and images/ into the user's cache.

About five minutes on two cores the first time, none after: each result is kept under a digest of its sources. coming/
has the pins of a second release, for upgrades.
"""

from __future__ import annotations

from pathlib import Path

from engine.obtain import cache
from engine.obtain.pin import EngineError
from lab.builds import STATIC, go_program, kept, module_folder, run_tool, sources, tools
from lab.kubernetes.archive import Image, docker_archive, zstd_frame
from lab.kubernetes.mirror import BINARY, IMAGES, Release

VERSION, NEXT = "v1.34.1+k3s1", "v1.35.1+k3s1"
"""The releases that the lab's k3s says it is; its Kubernetes is in fact of the part before the `+`."""

PROBE_IMAGE = "docker.io/edge-lab/probe:lab"
"""For tests: `/probe serve`, `/probe get URL`, `/probe resolve NAME`; runs in a restricted namespace."""

_HERE = Path(__file__).parent
_K3S = _HERE / "k3s"
_IMAGES = _HERE / "images"
_PINS = {VERSION: None, NEXT: _HERE / "coming"}
_PROVISIONER = "github.com/rancher/local-path-provisioner"
# The table by which kine tells the size of the database.
WITH_SQLITE = {**STATIC, "CGO_ENABLED": "1", "CGO_CFLAGS": "-O2 -g -DSQLITE_ENABLE_DBSTAT_VTAB=1"}
"""Environment of the build of the lab's `k3s`, and of its own tests, which then compile nothing twice."""


def build(version: str = VERSION) -> Release:
    """The release ``version`` (or ``NEXT``), built where it is not in the cache yet.

    Raises EngineError with one clear line.
    """
    return Release(version, _binary(version), _images())


def _binary(version: str) -> Path:
    return go_program(_K3S, ".", BINARY, link=_link(version), environment=WITH_SQLITE, pins=_PINS[version])


def _images() -> Path:
    probe, coredns, volume = (go_program(_IMAGES, f"./{name}", name) for name in ("probe", "coredns", "volume"))
    provisioner = go_program(_IMAGES, _PROVISIONER, "local-path-provisioner")
    # Pause comes with Kubernetes' own module, so that its version is that of the binary.
    folder = kept("images", (_K3S / "go.sum").read_text(), *sources(_IMAGES), (_HERE / "archive.py").read_text())
    if not folder.exists():
        tools(_K3S, c_compiler=True)
        with cache.filling(folder, "the lab's images") as aside:
            if not folder.exists():
                images = (
                    ("docker.io/rancher/mirrored-pause:3.6", _pause(aside)),
                    ("docker.io/edge-lab/coredns:lab", coredns),
                    ("docker.io/edge-lab/local-path-provisioner:lab", provisioner),
                    ("docker.io/edge-lab/volume:lab", volume),
                    (PROBE_IMAGE, probe),
                )
                archive = docker_archive([Image(name, file.read_bytes(), file.name) for name, file in images])
                (aside / IMAGES).write_bytes(zstd_frame(archive))
    return folder / IMAGES


def _pause(folder: Path) -> Path:
    source = module_folder(_K3S, "k8s.io/kubernetes") / "build" / "pause" / "linux" / "pause.c"
    run_tool(["gcc", "-static", "-Os", "-s", "-DVERSION=lab", "-o", str(folder / "pause"), str(source)])
    return folder / "pause"


def _link(version: str) -> str:
    package = "k8s.io/component-base/version"
    _, minor, _ = version.removeprefix("v").split(".", 2)
    values = {"gitVersion": version, "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(["-s", "-w", *(f"-X {package}.{name}={value}" for name, value in values.items())])


def _main() -> None:
    try:
        made = build()
    except EngineError as error:
        raise SystemExit(f"error: {error}") from None
    print(made.binary, made.images, sep="\n")


if __name__ == "__main__":
    _main()
