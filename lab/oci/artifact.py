"""Container images and Helm charts as a registry keeps them: a manifest and its blobs, made from files of this machine.

The same files give the same digests, so that a site can pin them.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@dataclass(frozen=True)
class Artifact:
    """What a tag of a repository points at."""

    manifest: bytes
    blobs: Mapping[str, bytes | Path]
    """By digest (`sha256:...`)."""
    media_type: str = _MANIFEST

    @property
    def digest(self) -> str:
        """`sha256:...` of the manifest: what an image reference is pinned by."""
        return digest(self.manifest)


@dataclass(frozen=True)
class Program:
    """How a container of an image starts."""

    entrypoint: Sequence[str]
    user: int = 65532
    """Numeric, since a restricted pod must be seen not to be root's."""
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"


def digest(content: bytes | Path) -> str:
    """`sha256:` and the hexadecimal SHA-256."""
    if isinstance(content, bytes):
        return f"sha256:{hashlib.sha256(content).hexdigest()}"
    with content.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def image(layers: Sequence[bytes | Path], program: Program, *, arch: str = "amd64") -> Artifact:
    """An image of uncompressed tar layers, lowest first."""
    blobs = {digest(layer): layer for layer in layers}
    config: dict[str, Any] = {
        "architecture": arch,
        "os": "linux",
        "config": {
            "Entrypoint": list(program.entrypoint),
            "User": f"{program.user}:{program.user}",
            "WorkingDir": program.folder,
            "Env": [f"{name}={value}" for name, value in sorted(program.environment.items())],
        },
        "rootfs": {"type": "layers", "diff_ids": list(blobs)},
    }
    return _artifact(_CONFIG, config, [(_LAYER, layer) for layer in blobs.values()])


def chart(archive: bytes) -> Artifact:
    """A Helm chart (.tgz) as `helm push` would store it."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        told = next(entry for entry in files if entry.name.count("/") == 1 and entry.name.endswith("/Chart.yaml"))
        content = files.extractfile(told)
        assert content is not None
        return _artifact(_CHART_CONFIG, yaml.safe_load(content.read()), [(_CHART_LAYER, archive)])


def layer(files: Iterable[tuple[str, bytes, int]], links: Iterable[tuple[str, str]] = ()) -> bytes:
    """A tar layer of ``files``: path in the image, content, mode. Folders above them come with it.

    ``links`` are symbolic ones in these folders: path in the image, and what it leads to.
    """
    out = io.BytesIO()
    made: set[str] = set()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, content, mode in files:
            for parent in list(Path(path.lstrip("/")).parents)[-2::-1]:
                if str(parent) not in made:
                    made.add(str(parent))
                    folder = tarfile.TarInfo(str(parent))
                    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(folder)
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
        for path, to in links:
            link = tarfile.TarInfo(path.lstrip("/"))
            link.type, link.linkname = tarfile.SYMTYPE, to
            archive.addfile(link)
    return out.getvalue()


def program_image(program: Path, *, user: int = 65532) -> Artifact:
    """An image of one static executable, which is its entry point."""
    return image([layer([(program.name, program.read_bytes(), 0o755)])], Program([f"/{program.name}"], user=user))


def _artifact(config_type: str, config: object, layers: Sequence[tuple[str, bytes | Path]]) -> Artifact:
    written = json.dumps(config, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(config_type, written),
        "layers": [_descriptor(media_type, content) for media_type, content in layers],
    }
    blobs = {digest(content): content for content in (written, *(content for _, content in layers))}
    return Artifact(json.dumps(manifest, sort_keys=True).encode(), blobs)


def _descriptor(media_type: str, content: bytes | Path) -> dict[str, object]:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    return {"mediaType": media_type, "digest": digest(content), "size": size}
