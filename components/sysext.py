"""Images that systemd-sysext merges into a read-only /usr, as Flatcar's bakery publishes them. Pure.

An image is pinned by its SHA-256, and systemd-sysupdate has no part in it. Source of names and places: the sysext
bakery's own configuration for hosts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from components.expected import Expected, download
from components.types import Arch

MIRROR = "https://extensions.flatcar.org/extensions"
SUMS = "https://github.com/flatcar/sysext-bakery/releases/download/{name}-{version}/SHA256SUMS"
"""Where the bakery publishes checksums."""

_ARCH: Mapping[Arch, str] = {"amd64": "x86-64", "arm64": "arm64"}


def file_name(name: str, version: str, arch: Arch) -> str:
    """As the bakery calls an image: `k3s-v1.36.3+k3s1-x86-64.raw`."""
    return f"{name}-{version}-{_ARCH[arch]}.raw"


def sums(name: str, version: str) -> str:
    """Where the checksums of a release are."""
    return SUMS.format(name=name, version=version)


@dataclass(frozen=True)
class Image:
    """One release of one extension, for one architecture."""

    name: str
    version: str
    arch: Arch
    sha256: str
    mirror: str = MIRROR
    holds: tuple[str, str] | None = None
    """A file that it brings, and that file's SHA-256."""

    @property
    def url(self) -> str:
        """From where it comes."""
        return f"{self.mirror.rstrip('/')}/{quote(file_name(self.name, self.version, self.arch), safe='+')}"

    @property
    def folder(self) -> str:
        """Where its releases are on a host."""
        return f"/opt/extensions/{self.name}"

    @property
    def path(self) -> str:
        """Where it is on a host. Another image of the same release is another file, since the present one is in use."""
        name = file_name(self.name, self.version, self.arch).removesuffix(".raw")
        return f"{self.folder}/{name}.{self.sha256[:12]}.raw"

    @property
    def link(self) -> str:
        """What systemd-sysext looks at. The name of the link is the one that the image must say of itself."""
        return f"/etc/extensions/{self.name}.raw"

    @property
    def next_link(self) -> str:
        """The link, before it takes the other's place: systemd-sysext does not look at such a name."""
        return f"/etc/extensions/.{self.name}.next"

    @property
    def pending(self) -> str:
        """There from before the link is swapped until systemd-sysext has merged it; gone after a boot, which merges."""
        return f"/run/edge-sysext-{self.name}"

    @property
    def release_file(self) -> str:
        """What the image says of itself, once it is merged."""
        return f"/usr/lib/extension-release.d/extension-release.{self.name}"

    @property
    def expected(self) -> tuple[Expected, ...]:
        """What is there once it has been merged."""
        held = (Expected("content", *self.holds),) if self.holds else ()
        return (*download(self.path, "0644", self.sha256), Expected("link", self.link, self.path), *held)
