"""Where the lab's hosts download K3s from: a mirror in the shape of K3s' release pages, over TLS.

https://ADDRESS:PORT/<version, its + as %2B>/{k3s, k3s-airgap-images-amd64.tar.zst, sha256sum-amd64.txt}
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from lab.authority import Authority
from lab.https import Answer, FileServer

FLANNEL_BACKEND = "host-gw"
"""Of all sites of the lab: plain routes, which need nothing of the kernel. Many kernels lack WireGuard, and K3s ends
where its backend cannot start."""

BINARY = "k3s"
IMAGES = "k3s-airgap-images-amd64.tar.zst"
SUMS = "sha256sum-amd64.txt"


@dataclass(frozen=True)
class Release:
    """What a mirror serves of one version."""

    version: str
    binary: Path
    images: Path


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def release_files(binary: Path, images: Path) -> dict[str, Path | bytes]:
    """The files of one release by their names, the list of sums included."""
    files: dict[str, Path | bytes] = {BINARY: binary, IMAGES: images}
    sums = "".join(f"{sha256(path)}  {name}\n" for name, path in ((BINARY, binary), (IMAGES, images)))
    return {**files, SUMS: sums.encode()}


class Mirror(FileServer):
    """Serves ``releases`` (version, or any other folder -> file name -> content or path) until the block ends."""

    def __init__(
        self,
        authority: Authority,
        address: str,
        releases: Mapping[str, Mapping[str, Path | bytes]],
        *,
        port: int = 0,
    ) -> None:
        def find(path: str) -> Answer | None:
            # A bare + in a path is a plus, but a server may take it for a space: only the escaped form is served.
            version, _, name = path.lstrip("/").partition("/")
            content = None if "+" in version else releases.get(unquote(version), {}).get(name)
            return None if content is None else Answer(content)

        super().__init__(authority, address, find, port=port)

    @property
    def url(self) -> str:
        """The site's `k3s.mirror`."""
        return f"https://{self.host}"

    def site_block(self, *releases: Release) -> dict[str, Any]:
        """The site's `k3s`: the first of ``releases``, and the sums of all, so that it may move to another."""
        return {
            "version": releases[0].version,
            "mirror": self.url,
            "releases": {one.version: {"amd64": sha256(one.binary)} for one in releases},
            "airgap_images": {one.version: {"amd64": sha256(one.images)} for one in releases},
            # Hosts of the lab are namespaces of whatever machine there is, and many still have cgroup v1.
            "fail_cgroup_v1": False,
            "flannel_backend": FLANNEL_BACKEND,
        }

    def file_url(self, version: str, name: str) -> str:
        """Where one file is, in the way in which the component asks for it."""
        return f"{self.url}/{quote(version, safe='')}/{name}"
