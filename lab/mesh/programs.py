"""Tailscale's archive as its publisher lays it out, and Headscale, built from the Go modules pinned beside this file.

Some minutes on two cores the first time, none after.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

from lab.builds import go_program, module_folder

VERSION = "1.90.0"
"""The release of Tailscale that is pinned in `tailscale/`."""

_HERE = Path(__file__).parent
_STAMP = f"-s -w -X tailscale.com/version.longStamp={VERSION} -X tailscale.com/version.shortStamp={VERSION}"


def headscale() -> Path:
    """The program `headscale`; raises EngineError with one clear line."""
    return go_program(_HERE / "headscale", "github.com/juanfont/headscale/cmd/headscale", "headscale")


def tailscale(name: str) -> Path:
    """The program `tailscale` or `tailscaled`; raises EngineError with one clear line."""
    return go_program(_HERE / "tailscale", f"tailscale.com/cmd/{name}", name, link=_STAMP)


def archive(version: str = VERSION) -> bytes:
    """`tailscale_<version>_amd64.tgz`: the same programs give the same bytes. Raises EngineError.

    ``version`` only labels the archive: whatever it says, the same Tailscale is inside.
    """
    units = module_folder(_HERE / "tailscale", "tailscale.com") / "cmd" / "tailscaled"
    folder = f"tailscale_{version}_amd64"
    files = (
        ("tailscale", tailscale("tailscale"), 0o755),
        ("tailscaled", tailscale("tailscaled"), 0o755),
        ("systemd/tailscaled.defaults", units / "tailscaled.defaults", 0o644),
        ("systemd/tailscaled.service", units / "tailscaled.service", 0o644),
    )
    out = io.BytesIO()
    # The fastest level: hosts fetch it over a link of this machine.
    with (
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name in (folder, f"{folder}/systemd"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, path, mode in files:
            content = path.read_bytes()
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
