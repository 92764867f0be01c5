"""Images for systemd-sysext as Flatcar's bakery makes them, and what a host does with them before anybody logs in."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

needs_sysext = pytest.mark.skipif(
    not shutil.which("systemd-sysext") or not shutil.which("mkfs.ext4"), reason="needs systemd-sysext and mkfs.ext4"
)

BOOTS = "mount --make-rshared /; systemd-sysext refresh >/dev/null 2>&1 || true; "
"""What happens to /usr at a boot. systemd-sysext merges where mounts are shared."""


def bake(folder: Path, name: str, programs: Mapping[str, bytes], *, kib: int = 2048) -> bytes:
    """An image that says it is ``name`` and brings ``programs`` (by path). Another size makes it another image."""
    root, image = folder / "root", folder / "image.raw"
    shutil.rmtree(root, ignore_errors=True)
    image.unlink(missing_ok=True)
    said = {f"usr/lib/extension-release.d/extension-release.{name}": b"ID=_any\nEXTENSION_RELOAD_MANAGER=1\n"}
    for path, content in {**said, **programs}.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755)
    subprocess.run(["mkfs.ext4", "-q", "-d", root, image, str(kib)], check=True, capture_output=True)
    return image.read_bytes()
