"""What the pages say about the project is true: links, counts, make targets, and the tree of folders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies.rules import CATALOGUE
from stacks.catalogue import PROJECT_ROOT

PAGES = sorted(
    page for pattern in ("*.md", "docs/**/*.md", "engine/**/*.md", "lab/**/*.md") for page in PROJECT_ROOT.glob(pattern)
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT_ROOT).as_posix())
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of ``page`` may say, as GitHub makes it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT_ROOT).as_posix())
def test_a_link_to_a_heading_leads_to_one(page: Path) -> None:
    links = re.findall(r"\[[^\]]*\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text())
    local = [(file, anchor) for file, anchor in links if "://" not in file and (not file or file.endswith(".md"))]
    missing = [
        f"{file}#{anchor}" for file, anchor in local if anchor not in anchors(page.parent / file if file else page)
    ]
    assert missing == []


def test_the_readme_counts_the_rules_that_there_are() -> None:
    (count,) = re.findall(r"\[(\d+) rules\]", (PROJECT_ROOT / "README.md").read_text())
    assert int(count) == len(CATALOGUE)


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", (PROJECT_ROOT / "README.md").read_text()))
    assert named
    assert named <= targets


# A line of the tree: folders, two spaces, what they are for. An indented one belongs to the folder above it.
_TREE_LINE = re.compile(r"^(?P<indent> *)(?P<folders>\S+/(?: \S+/)*)  +(?P<purpose>.*)$")
_NAMED = re.compile(r"\b([a-z_]+)/")


def tree_of_contributing() -> dict[str, set[str]]:
    """Folder -> the folders below it that the tree names. ``""`` stands for the top level."""
    page = (PROJECT_ROOT / "CONTRIBUTING.md").read_text()
    (block,) = (
        block for block in re.findall(r"^```\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) if "__main__" in block
    )
    tree: dict[str, set[str]] = {"": set()}
    top = ""
    for line in block.splitlines():
        if found := _TREE_LINE.match(line):
            folders = {name.rstrip("/") for name in found["folders"].split()}
            if not found["indent"]:
                (top,) = folders
            above = top if found["indent"] else ""
            tree.setdefault(above, set()).update(folders)
            for name in folders:
                path = f"{above}/{name}".lstrip("/")
                if below := set(_NAMED.findall(found["purpose"])):
                    tree.setdefault(path, set()).update(below)
    return tree


def folders_below(path: str) -> set[str]:
    """Folders with files of the project in them. What tools leave behind does not count."""
    return {
        folder.name
        for folder in (PROJECT_ROOT / path).iterdir()
        if folder.is_dir()
        and not folder.name.startswith((".", "__"))
        and not folder.name.endswith(".egg-info")
        and any(file.is_file() and "__pycache__" not in file.parts for file in folder.rglob("*"))
    }


def test_every_folder_in_the_tree_of_contributing_exists() -> None:
    named = [f"{above}/{name}".lstrip("/") for above, below in tree_of_contributing().items() for name in sorted(below)]
    assert len(named) > 30
    assert [path for path in named if not (PROJECT_ROOT / path).is_dir()] == []


def test_the_tree_of_contributing_names_every_package() -> None:
    packages = {folder for folder in folders_below("") if (PROJECT_ROOT / folder / "__init__.py").is_file()}
    assert packages - tree_of_contributing()[""] == set()


def test_where_the_tree_of_contributing_goes_into_a_folder_it_names_all_that_is_there() -> None:
    tree = tree_of_contributing()
    # Tests mirror the top level; only their other folders have names of their own.
    mirrored = {"tests": tree[""]}
    left_out = {
        path: missing
        for path, named in tree.items()
        if path and (missing := folders_below(path) - named - mirrored.get(path, set()))
    }
    assert left_out == {}


def test_every_test_that_the_security_table_names_exists() -> None:
    text = (PROJECT_ROOT / "SECURITY.md").read_text()
    file, tests = "", []
    # `::name` is a second test of the file before it.
    for path, name in re.findall(r"`([\w/]+\.py)?(?:::(\w+))?`", text):
        file = path or file
        if (path or name) and ((PROJECT_ROOT / "tests" / file).is_file() or name):
            tests.append((file, name))
    assert len(tests) > 40
    missing = [
        f"{path}::{name}" for path, name in tests if f"def {name}" not in (PROJECT_ROOT / "tests" / path).read_text()
    ]
    assert not missing
