"""Since when secrets have their value: the commit that brought it into the stack's settings. No other record is kept.

Only encrypted values are compared, and none is returned or printed. One walk through the history serves all stacks. A
value that was encrypted anew, as by `pulumi stack change-secrets-provider`, is new.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_COMMIT = "commit:"
_SECURE = re.compile(r"secure:\s*([^\s,}]+)")


@dataclass(frozen=True)
class Age:
    """When a secret was set: a time, or why that is not known."""

    at: datetime | None = None
    unknown: str = ""

    def words(self, now: datetime) -> str:
        """Such as `set 12 days ago`."""
        if self.at is None:
            return self.unknown
        days = max((now - self.at).days, 0)
        return "set today" if days == 0 else f"set {days} day{'' if days == 1 else 's'} ago"


NOT_COMMITTED = Age(unknown="not committed yet")
NO_HISTORY = Age(unknown="age unknown: no Git history here")
CUT_HISTORY = Age(unknown="age unknown: the clone has no older history")


def ages(values: Collection[str], root: Path) -> Mapping[str, Age]:
    """The age of each encrypted value in the `Pulumi.*.yaml` of ``root``."""
    wanted = set(values)
    if not wanted:
        return {}
    shallow = _git(root, "rev-parse", "--is-shallow-repository")
    if shallow is None:
        return dict.fromkeys(wanted, NO_HISTORY)
    found: dict[str, Age] = {}
    for commit, parents, line in _added(root):
        for value in _values(line):
            if value in wanted and value not in found:
                cut = shallow == "true" and not parents
                found[value] = CUT_HISTORY if cut else Age(datetime.fromtimestamp(commit, UTC))
        if len(found) == len(wanted):
            break
    return {value: found.get(value, NOT_COMMITTED) for value in wanted}


def _values(line: str) -> list[str]:
    return [value.strip("\"'") for value in _SECURE.findall(line)]


def _added(root: Path) -> Iterator[tuple[int, str, str]]:
    """Lines that commits have added to settings of stacks, the newest first: author's time, parents, line."""
    # `--cc`: of a merge only what is in none of its parents. `-M`: a stack that was renamed keeps its ages.
    command = ["git", "-c", "core.quotePath=false", "log", "--cc", "-M", "--unified=0", "--no-ext-diff", "--no-color"]
    command += ["--no-textconv", f"--format={_COMMIT}%at %P", "--", "Pulumi.*.yaml"]
    commit, parents = 0, ""
    with subprocess.Popen(
        command,
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(_COMMIT):
                    at, _, parents = line.removeprefix(_COMMIT).strip().partition(" ")
                    commit = int(at)
                elif line.startswith("+") and "secure:" in line:
                    yield commit, parents, line
        finally:
            # When all are found, the rest is not needed.
            process.kill()


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return None if done.returncode else done.stdout.strip()
