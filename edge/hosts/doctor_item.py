"""What `edge doctor` says about one thing that it has looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Item:
    """The result of one check. ``broken`` would stop a real run; ``note`` may matter."""

    subject: str
    name: str
    status: Status
    detail: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)
