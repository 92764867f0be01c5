"""Container images of single static programs, as one archive that containerd imports: no builder, no registry.

The archive is in the form of `docker save`. The same programs give the same bytes, so that its SHA-256 can be pinned.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_ZSTD_MAGIC = 0xFD2FB528
# The size of the content follows in eight bytes, after the window; no checksum.
_ZSTD_DESCRIPTOR = 0b1100_0000
# 2^(10 + 13): 8 MiB, which every reader must offer. A frame of one segment has no window, and asks for its whole size.
_ZSTD_WINDOW = 13 << 3
_ZSTD_BLOCK = 1 << 17


@dataclass(frozen=True)
class Image:
    """One program as an image."""

    reference: str
    """Full name with registry and tag."""
    program: bytes
    """A static executable; it is `/<entrypoint>` in the image."""
    entrypoint: str
    user: int = 65532
    """Numeric, since a restricted pod must be seen not to be root's."""
    arch: str = "amd64"


def docker_archive(images: Sequence[Image]) -> bytes:
    """A tar archive of ``images``."""
    files: dict[str, bytes] = {}
    manifest = []
    for image in images:
        layer = _tar({image.entrypoint: image.program}, mode=0o755)
        config: dict[str, Any] = {
            "architecture": image.arch,
            "os": "linux",
            "config": {"Entrypoint": [f"/{image.entrypoint}"], "User": f"{image.user}:{image.user}", "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
        written = json.dumps(config, sort_keys=True).encode()
        names = f"{hashlib.sha256(written).hexdigest()}.json", f"{hashlib.sha256(layer).hexdigest()}.tar"
        files |= dict(zip(names, (written, layer), strict=True))
        manifest.append({"Config": names[0], "RepoTags": [image.reference], "Layers": [names[1]]})
    return _tar({"manifest.json": json.dumps(manifest, sort_keys=True).encode(), **files}, mode=0o644)


def zstd_frame(content: bytes) -> bytes:
    """``content`` as a Zstandard frame of raw blocks (RFC 8878): any reader takes it, and no compressor is needed."""
    out = io.BytesIO()
    out.write(struct.pack("<IBBQ", _ZSTD_MAGIC, _ZSTD_DESCRIPTOR, _ZSTD_WINDOW, len(content)))
    blocks = [content[at : at + _ZSTD_BLOCK] for at in range(0, len(content), _ZSTD_BLOCK)] or [b""]
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        out.write((len(block) << 3 | last).to_bytes(3, "little"))
        out.write(block)
    return out.getvalue()


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()
