"""Container images made of a host's own files: there is no registry to pull from."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile

from lab.hosts.host import LabHost


def docker_archive(host: LabHost, reference: str, program: str) -> bytes:
    """An image named ``reference`` with ``program`` of the host and the libraries it needs, as `docker save` has it."""
    files = f"ldd {program} | grep -o '/[^ ]*'; echo {program}"
    packed = host.run(f"tar --create --dereference --file - $({files}) 2>/dev/null | base64").stdout
    layer = base64.b64decode(packed)
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": [program]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in (
            ("manifest.json", json.dumps(manifest).encode()),
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()
