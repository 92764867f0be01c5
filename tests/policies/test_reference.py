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


NO_FRAMEWORK = {
    "aws/judged-provider",
    "azure/judged-provider",
    "azure/stable-api",
    "network/ingress-no-wildcard",
    "site/accelerator-exists",
    "site/edge-pays",
    "site/names",
    "site/power-envelope",
    "site/tier-latency",
    "workload/probes",
}
"""Rules about which none of the frameworks says anything."""


def test_every_rule_names_what_it_answers_to_in_a_framework() -> None:
    assert {rule.id for rule in CATALOGUE if not rule.references} == NO_FRAMEWORK


def test_the_table_of_a_framework_leads_from_its_section_to_the_rules() -> None:
    text = page().partition("## Frameworks")[2]
    assert "| 5.1.1 | [`cluster/no-cluster-admin`](#clusterno-cluster-admin) |" in text
    for rule in CATALOGUE:
        for framework, section in rule.references:
            table = text.partition(f"### {framework}\n")[2].partition("\n###")[0]
            (row,) = (line for line in table.splitlines() if line.startswith(f"| {section} |"))
            assert f"`{rule.id}`" in row
