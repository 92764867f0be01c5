"""Where a stack's state is, if it is a file on this machine, and which backup there is of it.

Owns what Pulumi's file backend leaves in its folder. Reads, and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StateFile:
    """The state of one stack."""

    file: Path
    backup: Path | None
    """The newest one with resources in it."""

    @property
    def lost(self) -> bool:
        """Whether the state is gone although it had resources. A stack that was removed had none left."""
        return not self.file.exists() and self.backup is not None


def state_file(site: str, variables: Mapping[str, str], project: str) -> StateFile | None:
    """The state of ``site`` in a Pulumi project, or None where the backend is no folder of this machine."""
    folder = backend_folder(variables.get("PULUMI_BACKEND_URL", ""))
    if folder is None:
        return None
    stacks = folder / "stacks" / project
    file = next((found for found in (stacks / f"{site}.json.gz",) if found.exists()), stacks / f"{site}.json")
    kept = [stacks / f"{site}.json.bak", *sorted((folder / "backups" / project / site).glob(f"{site}.*.json"))]
    with_resources = [path for path in kept if _has_resources(path)]
    return StateFile(file, max(with_resources, key=lambda path: path.stat().st_mtime, default=None))


def backend_folder(url: str, root: Path = Path()) -> Path | None:
    """What a file backend keeps, or None where the backend is no folder of this machine.

    A relative folder, as `Pulumi.yaml` may have it, is one in ``root``.
    """
    if not url.startswith("file://"):
        return None
    return root / Path(url.removeprefix("file://").partition("?")[0]).expanduser() / ".pulumi"


def _has_resources(file: Path) -> bool:
    try:
        resources = json.loads(file.read_text())["checkpoint"]["latest"]["resources"]
        return any(resource["type"] != "pulumi:pulumi:Stack" for resource in resources)
    except (OSError, ValueError, KeyError, TypeError):
        return False
