"""What the pages say of the project holds: files that they point to are there, figures of code are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies.rules import RULES
from stacks.catalogue import PROJECT_ROOT

PAGES = sorted(
    page for pattern in ("*.md", "docs/**/*.md", "engine/**/*.md", "lab/**/*.md") for page in PROJECT_ROOT.glob(pattern)
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT_ROOT).as_posix())
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_counts_the_rules_that_there_are() -> None:
    (count,) = re.findall(r"\[(\d+) rules\]", (PROJECT_ROOT / "README.md").read_text())
    assert int(count) == len(RULES)


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", (PROJECT_ROOT / "README.md").read_text()))
    assert named
    assert named <= targets
