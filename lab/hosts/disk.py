"""A host's disk and identity: what is on it before its first boot, its keys among that.

The disk is a sparse file with an ext4 file system, so it has a size of its own and takes up only what is written.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from pathlib import Path

from lab.hosts.system import run, wait_until

DISK_GIB = 32
"""Size of a host's disk in GiB."""

_CORE = 1000
"""User and group id of the image's login `core`."""
_RELEASED_S = 30.0


def new_key(path: Path, comment: str) -> None:
    """An ed25519 key pair at ``path`` and ``path``.pub, in OpenSSH's format, in place of one that is there."""
    for old in (path, public_half(path)):
        old.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def public_half(path: Path) -> Path:
    """Where the public half of that key is."""
    return path.with_name(path.name + ".pub")


def public_line(path: Path) -> str:
    """The public half of the key at ``path``, as `ssh-keyscan` prints it: `ssh-ed25519 AAAA...`, without comment."""
    return " ".join(public_half(path).read_text().split()[:2])


def new_disk(folder: Path, host: str, operator: Path) -> None:
    """A new installation in ``folder``: another disk, another host key, another machine id; ``operator`` may log in."""
    folder.mkdir(parents=True, exist_ok=True)
    final, image, key = folder / "disk.img", folder / "disk.new", folder / "host_key"
    # The disk is there whole or not at all: without it, the next start makes one.
    for old in (final, image):
        old.unlink(missing_ok=True)
    new_key(key, f"root@{host}")
    with tempfile.TemporaryDirectory(dir=folder) as made:
        tree = Path(made)
        tree.chmod(0o755)
        (tree / "work").mkdir(0o700)
        upper = tree / "upper"
        _write(upper / "etc/hostname", f"{host}\n", 0o644)
        _write(upper / "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {host}\n::1 localhost\n", 0o644)
        _write(upper / "etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
        _write(upper / "etc/ssh/ssh_host_ed25519_key", key.read_text(), 0o600)
        _write(upper / "etc/ssh/ssh_host_ed25519_key.pub", public_half(key).read_text(), 0o644)
        for home, owner in (("root", 0), ("home/core", _CORE)):
            _write(upper / home / ".ssh/authorized_keys", public_half(operator).read_text(), 0o600)
            for path in (upper / home, upper / home / ".ssh", upper / home / ".ssh/authorized_keys"):
                os.chown(path, owner, owner)
                if path.is_dir():
                    path.chmod(0o700)
        with image.open("wb") as file:
            file.truncate(DISK_GIB << 30)
        # No journal and no blocks kept for root: it lives as long as this machine is up, and full is to mean full.
        options = ["-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0"]
        run(["mkfs.ext4", "-q", "-F", *options, "-d", str(tree), str(image)])
    image.rename(final)


def loop_devices(folder: Path) -> list[str]:
    """Loop devices of this machine that still hold a file below ``folder``."""
    return [
        f"/dev/{backing.parts[3]}"
        for backing in Path("/sys/block").glob("loop*/loop/backing_file")
        if _backing(backing).startswith(f"{folder}/")
    ]


def wait_released(folder: Path) -> None:
    """Returns when the kernel has released the disks below ``folder``; their last user is gone."""
    wait_until(lambda: not loop_devices(folder), f"the kernel lets go of the disks in {folder}", deadline_s=_RELEASED_S)


def forget(folder: Path) -> None:
    """Removes a host's folder, disk and keys included."""
    shutil.rmtree(folder, ignore_errors=True)


def _backing(path: Path) -> str:
    try:
        # The kernel marks a file that is gone by " (deleted)"; that one counts as well.
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
