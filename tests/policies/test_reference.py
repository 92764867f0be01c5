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
    "azure/stable-api": "SA-22 of NIST is about what is no longer supported; a preview is not supported yet",
    "network/ingress-no-wildcard": "the guides ask for TLS and for network policies, and not for names of hosts",
    "site/accelerator-exists": "a pod that waits for ever for a GPU is a fault, and no risk that a benchmark lists",
    "site/edge-pays": "none of them is about cost",
    "site/names": "CM-8 of NIST asks for an inventory, which the rules about tags serve; not for the form of a name",
    "site/power-envelope": "PE-14 of NIST is about the room, and not about what one machine gives off",
    "site/tier-latency": "none of them is about latency",
    "workload/probes": "the guides list limits and rights of a pod, and not whether somebody notices that it hangs",
}
"""Rules about which none of the frameworks says anything, and why the nearest does not fit."""


def test_every_rule_names_what_it_answers_to_in_a_framework() -> None:
    assert {rule.id for rule in CATALOGUE if not rule.references} == set(NO_FRAMEWORK)


def test_the_table_of_a_framework_leads_from_its_section_to_the_rules() -> None:
    text = page().partition("## Frameworks")[2]
    assert "| 5.1.1 | [`cluster/no-cluster-admin`](#clusterno-cluster-admin) |" in text
    for rule in CATALOGUE:
        for framework, section in rule.references:
            table = text.partition(f"### {framework}\n")[2].partition("\n###")[0]
            (row,) = (line for line in table.splitlines() if line.startswith(f"| {section} |"))
            assert f"`{rule.id}`" in row
