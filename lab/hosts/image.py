"""The root file system that all hosts of a lab share, read-only: Debian, made once, kept in the user's cache.

Its folder is named after a digest of the recipe, and appears whole or not at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.hosts.system import LabError, require_root, require_tools, run

SUITE = "bookworm"
_FINISH = Path(__file__).with_name("finish_image.sh")
_TIMEOUT_S = 1800

PACKAGES = (
    # The system itself, as an edge machine is flashed with it.
    *("systemd", "systemd-sysv", "systemd-timesyncd", "dbus", "libnss-myhostname"),
    *("openssh-server", "sudo", "curl", "ca-certificates"),
    *("iproute2", "iptables", "iputils-ping", "kmod", "procps", "util-linux", "e2fsprogs"),
    # What a host without internet needs to run pods. K3s brings its own.
    *("containerd", "runc", "containernetworking-plugins", "conntrack", "ethtool", "socat", "ipset"),
    # What distributions install updates with, and what makes a repository for them.
    *("unattended-upgrades", "dnf", "dnf-plugins-core", "zypper", "rpm", "createrepo-c"),
)


def digest() -> str:
    """Names the image: another recipe is another image. 12 hex digits."""
    recipe = "\n".join([SUITE, os.uname().machine, *PACKAGES, _FINISH.read_text(encoding="utf-8")])
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def cache_folder() -> Path:
    """Where images are kept, between labs and between checkouts."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".cache") / "edge" / "lab"


def ready_image() -> Path | None:
    """The image's folder, if it has been built."""
    folder = cache_folder() / f"rootfs-{digest()}"
    return folder if folder.is_dir() else None


def image(note: Callable[[str], None] = lambda _: None) -> Path:
    """The image's folder; builds it first where needed (some minutes, 350 MB). ``note`` is told so.

    Raises LabError when this is not root, a program is missing, or Debian's archive cannot be reached.
    """
    if found := ready_image():
        return found
    require_root()
    require_tools(("debootstrap", "unshare", "mount"))
    cache_folder().mkdir(parents=True, exist_ok=True)
    with _alone(cache_folder() / "build.lock") as lock:
        if found := ready_image():
            return found
        for left in cache_folder().glob("building-*"):
            # Of a build that was killed: nobody else builds while the lock is held.
            shutil.rmtree(left)
        note("building the hosts' root file system: some minutes, once")
        building = Path(tempfile.mkdtemp(prefix="building-", dir=cache_folder()))
        building.chmod(0o755)
        try:
            _build(building, lock)
            final = cache_folder() / f"rootfs-{digest()}"
            building.rename(final)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        return final


def _build(folder: Path, lock: int) -> None:
    # In namespaces of its own: a build that dies leaves no mount behind. It holds the lock as well, so that nobody
    # clears it away while it goes on after its parent was killed.
    contained = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
    packages = f"--include={','.join(PACKAGES)}"
    # dnf-plugins-core and zypper exclude each other for one manual page, which is not kept.
    lax = ("env", "DPKG_FORCE=overwrite,breaks")
    run(
        [*contained, *lax, "debootstrap", "--variant=minbase", packages, SUITE, str(folder), *mirror()],
        timeout_s=_TIMEOUT_S,
        holding=(lock,),
    )
    finish = 'mount -t proc proc "$0/proc" && exec chroot "$0" /bin/bash -c "$1"'
    script = _FINISH.read_text(encoding="utf-8")
    run([*contained, "bash", "-c", finish, str(folder), script], timeout_s=_TIMEOUT_S, holding=(lock,))


def mirror() -> tuple[str, ...]:
    """The Debian archive that this machine itself uses; empty for debootstrap's own default."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for source in sources:
        if source.is_file() and (found := archive_in(source.read_text(encoding="utf-8", errors="replace"))):
            return (found,)
    return ()


def archive_in(text: str) -> str | None:
    """The first Debian archive in a sources file, of either format."""
    found = re.search(r"^(?:URIs:\s*|deb\s+(?:\[[^]]*\]\s+)?)(https?://\S+/debian/?)(?:\s|$)", text, re.MULTILINE)
    return found.group(1) if found else None


@contextmanager
def _alone(path: Path) -> Iterator[int]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise LabError(f"cannot lock {path}: {error}") from None
        yield lock.fileno()
