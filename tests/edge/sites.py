"""Site files for the tests of `edge`: the demo site, with what a test wants to be different."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from stacks.catalogue import PROJECT_ROOT

SITES = PROJECT_ROOT / "stacks" / "sites"
# Well-formed, and from a registry that nobody has allowed.
FOREIGN_IMAGE = f"docker.io/somebody/collector:1.0.0@sha256:{'ab' * 32}"


def site(folder: Path, name: str, changes: Mapping[str, Any] | None = None) -> Path:
    """A copy of the demo site under another name; top-level blocks are replaced by ``changes``, None removes one."""
    content = yaml.safe_load((SITES / "demo.yaml").read_text())
    # A machine belongs to one site.
    made = base64.b64encode(bytes.fromhex("0000000b7373682d6564323535313900000020") + sha256(name.encode()).digest())
    content["hosts"][0]["host_key"] = f"ssh-ed25519 {made.decode()}"
    content = {**content, "site": name, **(changes or {})}
    content = {key: value for key, value in content.items() if value is not None}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def refused_site(folder: Path, name: str = "refused") -> Path:
    """Sound as a file, and refused by one mandatory policy."""
    return site(folder, name, {"telemetry": {"image": FOREIGN_IMAGE}})


def broken_site(folder: Path, name: str = "broken") -> Path:
    """Wrong in two places."""
    return site(folder, name, {"tier": "nearby", "regions": "eu"})
