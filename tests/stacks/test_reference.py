"""docs/reference says what the specs say."""

from __future__ import annotations

import re

from sitefile.fields import Fields
from stacks import reference
from stacks.loader import site_shape

_LINK = re.compile(r"\]\(#([^)]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def test_the_pages_are_those_of_the_specs() -> None:
    assert reference.stale() == [], "run: make reference"


def test_every_block_of_a_site_file_has_a_page_and_every_field_is_on_it() -> None:
    pages = reference.pages()
    for block in Fields(site_shape()).root.fields:
        if block.fields or block.kinds:
            page = pages[f"{block.name}.md"]
            assert [field.path for field in block.below() if f"`{field.name}`" not in page] == []
        else:
            assert f"| `{block.name}` |" in pages[reference.INDEX]


def test_a_link_within_a_page_leads_to_a_heading() -> None:
    for name, page in reference.pages().items():
        headings = {reference.anchor(heading.replace(" ", "-")) for heading in _HEADING.findall(page)}
        assert set(_LINK.findall(page)) - headings == set(), name


def test_every_row_of_a_table_has_four_cells() -> None:
    for name, page in reference.pages().items():
        rows = [line for line in page.splitlines() if line.startswith(("| `", "| [`"))]
        odd = [row for row in rows if len(re.findall(r"(?<!\\)\|", row)) not in (3, 5)]
        assert odd == [], name
