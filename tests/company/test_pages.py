"""Every command of the documentation runs as it is written, with `edge` from the built wheel."""

from __future__ import annotations

import os
import re
import subprocess
from itertools import groupby
from pathlib import Path

import pytest

from engine.obtain.cli import installed_path
from stacks.project import PROGRAM_ROOT
from tests.company.conftest import Company
from tests.company.installed import Installed, surroundings
from tests.company.pages import ELSEWHERE, LANGUAGES, PAGES, STORIES, Block, Instead, Story, blocks_of, read

_WITH_COMMANDS = [page for page in PAGES if any(block.language == "sh" for block in read(page))]
_COMMAND = re.compile(r"^ {4,}(?:\$ )?(?:edge|pulumi|make|pip|pipx|git|export|kubectl) ", re.MULTILINE)


def commands(page: str) -> list[Block]:
    return [block for block in read(page) if block.language == "sh"]


# The tables.


def test_every_page_with_commands_has_a_story_and_every_story_a_page() -> None:
    assert sorted({*STORIES, *ELSEWHERE}) == _WITH_COMMANDS
    assert STORIES.keys() & ELSEWHERE.keys() == set()


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_in_blocks_that_say_so(page: str) -> None:
    text = (PROGRAM_ROOT / page).read_text(encoding="utf-8")
    blocks = read(page)
    assert text.count("\n```") + text.startswith("```") == 2 * len(blocks), "a block is not closed, or is indented"
    assert {block.language for block in blocks} <= LANGUAGES
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert _COMMAND.findall(prose) == [], "write commands in ```sh blocks, so that they are tested"


@pytest.mark.parametrize("page", STORIES)
def test_what_stands_in_for_a_command_is_still_on_its_page(page: str) -> None:
    assert STORIES[page].unused(commands(page)) == []


def test_a_stand_in_says_why_and_a_test_that_it_names_is_there() -> None:
    reasons = [one.why for story in STORIES.values() for one in story.instead] + list(ELSEWHERE.values())
    assert all(reasons)
    named = [test for reason in reasons for test in re.findall(r"tests/[\w/]+\.py", reason)]
    assert named
    assert [test for test in named if not (PROGRAM_ROOT / test).is_file()] == []


def test_a_stand_in_for_what_is_on_no_page_is_noticed() -> None:
    blocks = blocks_of("page", "```sh\nedge check SITE\n```\n")
    story = Story(values={"SITE": "a", "KEY": "b"}, instead=(Instead("edge chek", "", ""),))
    assert story.unused(blocks) == ["edge chek", "KEY"]
    assert story.script(blocks[0]) == "edge check a\n"


@pytest.mark.parametrize("page", ["docs/production.md"])
def test_the_plugins_of_the_page_are_those_of_constraints(page: str) -> None:
    text = (PROGRAM_ROOT / page).read_text(encoding="utf-8")
    pins = dict(re.findall(r"^pulumi_(\w+)==(\S+)$", (PROGRAM_ROOT / "constraints.txt").read_text(), re.MULTILINE))
    named = dict(re.findall(r"pulumi plugin install resource (\S+) ([\d.]*\d)", text))
    assert {name.replace("-", "_"): version for name, version in named.items()} == {
        name: version for name, version in pins.items() if name != "policy"
    }


# The commands.


@pytest.mark.engine
@pytest.mark.parametrize("page", STORIES)
def test_the_commands_of_a_page_run_in_their_order(
    page: str, program: Installed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    story, blocks = STORIES[page], commands(page)
    folder = tmp_path / "empty"
    folder.mkdir()
    if story.start == "company":
        company: Company = request.getfixturevalue("company")
        folder = company.root
    for example in story.files:
        (folder / example.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / example.path).write_text(example.text)
    said = run(story, blocks, folder, tmp_path, program)
    for block, text in zip(blocks, said, strict=True):
        if block.shown is not None:
            assert differs(block.shown, text) == "", f"{block}: shows\n{text}"


def run(story: Story, blocks: list[Block], folder: Path, place: Path, program: Installed) -> list[str]:
    """What each block prints. All blocks run in one shell, which stops at the first command that fails."""
    said = place / "said"
    said.mkdir()
    script = ["set -euo pipefail", story.before]
    for number, block in enumerate(blocks):
        script += [f'exec > "{said}/{number:02}" 2>&1', story.script(block)]
    script += [f'exec > "{place}/after" 2>&1', f'SAID="{said}"', story.after]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=reader(place, program),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    texts = [file.read_text() for file in sorted(said.iterdir())]
    if done.returncode != 0 and (place / "after").exists():
        pytest.fail(f"{blocks[0].page}: what must hold after its commands does not: {story.after}")
    if done.returncode != 0:
        at = str(blocks[len(texts) - 1]) if texts else "before the first block"
        pytest.fail(f"{at}: exit code {done.returncode}\n{texts[-1] if texts else done.stderr}")
    return texts


def reader(place: Path, program: Installed) -> dict[str, str]:
    """The variables of somebody who has installed `edge` and the Pulumi CLI, has a name in Git, and no network."""
    tools, home = place / "tools", place / "home"
    home.mkdir()
    tools.mkdir()
    (tools / "edge").symlink_to(program.edge)
    (tools / "pulumi").symlink_to(installed_path())
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    who = {
        f"GIT_{one}_{key}": value
        for one in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "Ada"), ("EMAIL", "a@x"))
    }
    own = surroundings(place)
    return {
        **own,
        **who,
        "HOME": str(home),
        "XDG_CACHE_HOME": cache,
        "PATH": f"{tools}{os.pathsep}{own['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PROGRAM": str(program.prefix),
        "CHECKOUT": str(PROGRAM_ROOT),
    }


# What is shown.


def differs(shown: str, said: str) -> str:
    """The first line of ``shown`` that is not what was said. A line `...` stands for any lines."""
    wanted, found = _lines(shown), _lines(said)
    parts = [list(lines) for dots, lines in groupby(wanted, key=lambda line: line == "...") if not dots]
    at = 0
    for number, part in enumerate(parts):
        anywhere = number > 0 or wanted[0] == "..."
        starts = range(at, len(found) - len(part) + 1) if anywhere else [at]
        fits = [start for start in starts if found[start : start + len(part)] == part]
        if not fits:
            known = [line for line in part if line not in found[at:]]
            return (known or part)[0]
        at = fits[0] + len(part)
    return "" if at == len(found) or wanted[-1:] == ["..."] else found[at]


def _lines(text: str) -> list[str]:
    """Without what differs from one machine and run to the next: times, hashes, paths, the width of columns."""
    lines = []
    for line in text.splitlines():
        masked = re.sub(r"\b[0-9a-f]{16}\b", "HASH", line.strip())
        masked = re.sub(r"file://\S+/", "file:///", masked)
        masked = re.sub(r"\d+(?:\.\d+)?", "N", masked)
        lines.append(re.sub(r" {2,}", "  ", masked))
    return [line for line in lines if line]


@pytest.mark.parametrize(
    ("shown", "said", "differing"),
    [
        ("a 1.0 s\n", "a 22.3 s\n", ""),
        ("a\n", "b\n", "a"),
        ("a\n", "a\nb\n", "b"),
        ("a\n...\n", "a\nb\n", ""),
        ("a\n...\nc\n", "a\nb\nc\n", ""),
        ("...\nc\n", "a\nb\nc\n", ""),
        ("a\n...\nd\n", "a\nb\nc\n", "d"),
        ("a\n...\nc\n", "a\nb\nc\nd\n", "d"),
    ],
)
def test_what_is_shown_is_compared_line_by_line(shown: str, said: str, differing: str) -> None:
    assert differs(shown, said) == differing
