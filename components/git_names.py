"""Names of branches and tags, as `git check-ref-format` has them. Pure."""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


def problem(name: str, kind: str) -> tuple[str, str] | None:
    """What is wrong with the name of a branch (``heads``) or a tag (``tags``), and what to do."""
    for prefix in (f"refs/{kind}/", f"{kind}/" if name.startswith(f"{kind}/") else "refs/"):
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            bare = re.sub(r"^(heads|tags|remotes/[^/]+)/", "", rest)
            return "it is a whole reference, and Flux puts the beginning before it once more", f"write `{bare}`"
    bad = _FORBIDDEN.search(name)
    if bad:
        found = f"`{bad[0]}`" if bad[0].isprintable() and bad[0] != " " else "space or control character"
        return f"Git allows no {found} in it", "write the name as `git branch` or `git tag` shows it"
    if name == "@" or any(part.startswith(".") or part.endswith(".lock") for part in name.split("/")):
        return "Git allows no such name", "write the name as `git branch` or `git tag` shows it"
    if name.startswith(("/", "-")) or name.endswith(("/", ".")):
        return "Git allows no such name", "write the name as `git branch` or `git tag` shows it"
    return None
