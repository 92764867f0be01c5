"""What the engine really streamed: events recorded from v3.250.0, of some resources, long texts cut.

``change.jsonl``: the demo site is up, and its file gets another ``offline_hours`` and no ``inference``.
``refused.jsonl``: one image comes from a registry that nobody has allowed.
"""

from __future__ import annotations

from pathlib import Path

from edge.run.events import Run

EVENTS = Path(__file__).parent / "events"


def played(name: str) -> Run:
    run = Run()
    for line in (EVENTS / f"{name}.jsonl").read_text().splitlines():
        run.feed_line(line)
    return run


def test_a_change_is_counted_by_what_happens_to_each_resource() -> None:
    run = played("change")
    assert run.counts == {"create": 0, "update": 2, "replace": 2, "delete": 1, "same": 2}
    assert (run.result, run.unreadable, run.diagnostics) == ("succeeded", [], [])


def test_a_replaced_resource_says_what_forces_it_with_both_values() -> None:
    resource = next(one for one in played("change").changes if one.name == "demo-a-telemetry")
    assert resource.op == "replace"
    assert resource.replace_keys == ("spec.volumeClaimTemplates[0].spec.resources.requests.storage",)
    forced = next(one for one in resource.changes if one.path == resource.replace_keys[0])
    assert forced.kind == "update-replace"
    assert forced.before != forced.after != ""


def test_a_component_shows_which_of_its_facts_change() -> None:
    component = next(one for one in played("change").changes if one.name == "demo-telemetry")
    assert "offline_hours" in [change.path for change in component.changes]


def test_the_stacks_outputs_are_found() -> None:
    assert played("change").outputs["site"] == "demo"


def test_a_refusal_names_rule_resource_and_property() -> None:
    run = played("refused")
    (finding,) = run.violations
    assert finding.rule == "supply-chain/registry-allowlist"
    assert finding.urn.endswith("::demo-a-telemetry")
    assert "spec.template.spec.containers[0].image" in finding.message
    assert (run.result, run.errors) == ("failed", [])
