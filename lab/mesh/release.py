"""Tailscale as the lab's hosts get it: an archive for the mirror, the site's `mesh` block, joining without a site."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.hosts.host import LabHost
from lab.mesh import programs
from lab.mesh.headscale import Headscale

FOLDER = "tailscale"
"""Where on the mirror the archives are."""

_JOIN = """
set -euo pipefail
# Tailscale leaves the names alone where there is no file that it could put back.
[ -e /etc/resolv.conf ] || touch /etc/resolv.conf
install -d /opt/operator
curl --fail --silent --show-error {url} | tar --extract --gzip --directory=/opt/operator --strip-components=1
systemd-run --quiet --unit=tailscaled --property=Type=notify --property=RuntimeDirectory=tailscale \\
  /opt/operator/tailscaled --statedir=/var/lib/tailscale --socket=/run/tailscale/tailscaled.sock --no-logs-no-support
cat >/run/auth-key
ln -sfn /opt/operator/tailscale /usr/local/bin/tailscale
tailscale up --auth-key=file:/run/auth-key --timeout=60s --login-server={login_server} --hostname={name}
rm /run/auth-key
"""


@dataclass(frozen=True)
class Release:
    """One release for amd64."""

    version: str
    archive: bytes

    @property
    def files(self) -> Mapping[str, bytes]:
        """What a mirror serves in `FOLDER`."""
        return {f"tailscale_{self.version}_amd64.tgz": self.archive}

    def mesh(self, mirror: str, login_server: str, **changes: Any) -> dict[str, Any]:
        """A site's `mesh` block; ``mirror`` is the URL above `FOLDER`."""
        return {
            "kind": "tailscale",
            "version": self.version,
            "sha256": {"amd64": hashlib.sha256(self.archive).hexdigest()},
            "mirror": f"{mirror}/{FOLDER}",
            "login_server": login_server,
            **changes,
        }

    def join(self, host: LabHost, mirror: str, headscale: Headscale, tag: str) -> None:
        """Makes ``host``, which trusts the lab, an operator's machine: in the tailnet as ``tag``, with its names."""
        (file,) = self.files
        host.run(
            _JOIN.format(url=f"{mirror}/{FOLDER}/{file}", login_server=headscale.url, name=host.name),
            stdin=headscale.key([tag]),
        )


def release(version: str = programs.VERSION) -> Release:
    """The pinned release, built where it is not in the cache; ``version`` only labels it. Raises EngineError."""
    return Release(version, programs.archive(version))
