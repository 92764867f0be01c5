"""The container image of NVIDIA's `tritonserver` with its Python backend, for the CPU: NVIDIA's own binaries.

They come out of the wheel that requirements.txt pins by its hash, laid out as in NVIDIA's image, over the few packages
of Debian that they need. Made once, in half a minute, into the user's cache.
"""

from __future__ import annotations

import functools
import platform
import shutil
import sys
import zipfile
from pathlib import Path

from engine.obtain import cache
from engine.obtain.pin import EngineError
from lab.builds import kept, run_tool
from lab.hosts.image import SUITE, mirror
from lab.hosts.system import require_root, require_tools
from lab.oci.artifact import Artifact, Program, image

_HERE = Path(__file__).parent
_WHEEL = _HERE / "requirements.txt"

_PACKAGES = (
    *("bash", "dash", "libtinfo6", "libc6", "libgcc-s1", "libstdc++6", "zlib1g"),
    *("libpython3.11", "libpython3.11-minimal", "libpython3.11-stdlib", "libexpat1", "libffi8"),
    *("python3-numpy", "libblas3", "liblapack3", "libgfortran5", "libquadmath0"),
)
"""The backend starts a model by `bash`, after it has tried by `sh` whether it may: a program that links libpython3.11.
Models compute with numpy."""

_HOME = "opt/tritonserver"
_LAYOUT = {
    "pytriton/tritonserver/bin/tritonserver": f"{_HOME}/bin/",
    "pytriton/tritonserver/backends/python/": f"{_HOME}/backends/python/",
    "pytriton/tritonserver/python_backend_stubs/3.11/": f"{_HOME}/backends/python/",
    "nvidia_pytriton.libs/": f"{_HOME}/lib/",
}
"""Where a file of the wheel (or all files of a folder of it) goes."""

# That of the stub for Python 3.13, which is left out as well: a fifth of all.
_LEFT_OUT = "libpython3-"

# Debian selects them with symbolic links as it installs; here nothing is installed.
_LIBRARIES = (f"/{_HOME}/lib", "/usr/lib/x86_64-linux-gnu/blas", "/usr/lib/x86_64-linux-gnu/lapack")
_NOT_NEEDED = ("usr/share", "usr/lib/python3/dist-packages/numpy/*/tests", "usr/lib/python3/dist-packages/numpy/f2py")


@functools.cache
def server_image() -> Artifact:
    """The image; `tritonserver` is on its PATH. Raises EngineError or LabError with one clear line."""
    environment = {"PATH": f"/{_HOME}/bin:/usr/bin:/bin"}
    return image([root().with_suffix(".tar")], Program(["tritonserver"], user=1000, environment=environment))


def root() -> Path:
    """The image's files, unpacked."""
    folder = kept("tritonserver", SUITE, _WHEEL.read_text(), Path(__file__).read_text())
    if not folder.exists():
        require_root()
        require_tools(("debootstrap",))
        if platform.machine() != "x86_64":
            raise EngineError(f"NVIDIA's wheel has no tritonserver for {platform.machine()}")
        with cache.filling(folder, "the lab's tritonserver") as aside:
            if not folder.exists():
                _fill(aside)
    return folder / "root"


def _fill(folder: Path) -> None:
    made = folder / "root"
    made.mkdir()
    _debian(made, folder / "debian")
    _wheel(made, folder / "wheel")
    for pattern in _NOT_NEEDED:
        for path in made.glob(pattern):
            shutil.rmtree(path)
    for mount_point in ("dev", "models", "proc", "sys", "tmp"):
        (made / mount_point).mkdir()
    (made / "etc" / "ld.so.conf").write_text("".join(f"{library}\n" for library in _LIBRARIES))
    run_tool(["ldconfig", "-r", str(made)])
    same = ("--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0")
    run_tool(["tar", *same, "-C", str(made), "-cf", str(made.with_suffix(".tar")), "."])


def _debian(made: Path, folder: Path) -> None:
    """Debian's packages: fetched and checked by debootstrap, and only unpacked."""
    chosen = f"--include={','.join(_PACKAGES)}"
    run_tool(["debootstrap", "--variant=minbase", "--download-only", chosen, SUITE, str(folder), *mirror()])
    for package in _PACKAGES:
        (archive,) = (folder / "var/cache/apt/archives").glob(f"{package}_*.deb")
        run_tool(["dpkg-deb", "--extract", str(archive), str(made)])
    shutil.rmtree(folder)


def _wheel(made: Path, folder: Path) -> None:
    fetched = ("--no-deps", "--only-binary=:all:", "--require-hashes", f"--requirement={_WHEEL}", f"--dest={folder}")
    run_tool([sys.executable, "-m", "pip", "download", "--quiet", *fetched])
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        for name in (name for name in files.namelist() if not name.endswith("/")):
            for source, place in _LAYOUT.items():
                if name.startswith(source) and not Path(name).name.startswith(_LEFT_OUT):
                    target = made / place / Path(name).name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(files.read(name))
                    target.chmod(0o755)
    shutil.rmtree(folder)
