"""What `edge drift` saw when it last looked at a site, from this checkout: a small file for each site below `.edge`.

Drift is in no state of Pulumi. A record that cannot be read is none.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.environment import state_folder


@dataclass(frozen=True)
class Seen:
    """What was seen of a site's hosts."""

    at: str
    """ISO 8601, UTC."""
    hosts: int
    drifted: tuple[str, ...] = ()
    """Names of hosts that differed from what their site file plans."""
    not_reached: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def remember(site: str, seen: Seen, root: Path) -> None:
    """Keep it in place of what was seen before."""
    file = _file(site, root)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}-{os.getpid()}")
    aside.write_text(json.dumps(seen.as_dict()) + "\n", encoding="utf-8")
    aside.replace(file)


def last_seen(site: str, root: Path) -> Seen | None:
    """What was seen last; None where nobody has looked from here."""
    try:
        said = json.loads(_file(site, root).read_text(encoding="utf-8"))
        return Seen(str(said["at"]), int(said["hosts"]), tuple(said["drifted"]), tuple(said["not_reached"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _file(site: str, root: Path) -> Path:
    return state_folder(root) / "drift" / f"{site}.json"
