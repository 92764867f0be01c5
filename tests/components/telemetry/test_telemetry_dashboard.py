"""The dashboard: what Grafana needs of it. Its queries are tried by Prometheus itself, in the lab's tests."""

from __future__ import annotations

import itertools
import json

from components.telemetry.dashboard import dashboard


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        apart = any(one[at] + one[size] <= other[at] or other[at] + other[size] <= one[at] for at, size in ("xw", "yh"))
        assert apart, (one, other)
        assert one["x"] + one["w"] <= 24


def test_the_store_is_the_viewers_choice_and_every_variable_that_is_used_is_there() -> None:
    made = dashboard()
    variables = {variable["name"] for variable in made["templating"]["list"]}
    assert variables == {"source", "site", "instance"}
    text = json.dumps(made["panels"])
    for name in variables:
        assert f"${name}" in text or f"${{{name}}}" in text
    assert {panel["datasource"]["uid"] for panel in made["panels"]} == {"${source}"}


def test_what_is_lost_is_shown() -> None:
    queries = " ".join(panel["targets"][0]["expr"] for panel in dashboard()["panels"])
    for lost in ("send_failed", "enqueue_failed", "edge_queue_files_damaged_total"):
        assert lost in queries
