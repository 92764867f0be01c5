"""A fault that a test must catch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A fault: ``old`` in ``file`` becomes ``new``."""

    promise: str
    """What the program does no more, in the words of the one to whom it was promised."""
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Files or names of tests, as pytest takes them."""
    reason: str = ""
    """Why it may survive; empty where it may not."""

    def apply(self, root: Path) -> str:
        """Put the fault into the checkout at ``root``. Returns what is wrong with the mutant, or nothing."""
        path = root / self.file
        if not path.is_file():
            return f"stale: there is no {self.file}"
        text = path.read_text(encoding="utf-8")
        if self.old not in text:
            return f"stale: {self.file} does not hold {self.old!r}"
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
        return ""
