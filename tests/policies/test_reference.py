"""The reference of the rules is what the rules say."""

from __future__ import annotations

from policies.reference import PAGE, page
from policies.rules import CATALOGUE


def test_the_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m policies.reference"


def test_every_rule_is_on_the_page_with_its_level_and_remedy() -> None:
    text = page()
    for rule in CATALOGUE:
        assert f"`{rule.id}`](#{rule.id.replace('/', '')}) | {rule.level} |" in text
        assert rule.remedy in text
