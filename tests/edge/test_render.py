from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from edge.run.difference import PropertyChange
from edge.run.events import Diagnostic, PolicyFinding, ResourceChange, Run
from edge.run.failure import OperationError
from edge.run.operation import Outcome
from edge.show import render

STACK = "urn:pulumi:demo::edge::pulumi:pulumi:Stack::edge-demo"
COST: dict[str, Any] = {
    "edge_usd_per_month": 5166.67,
    "cloud_usd_per_month": 22000.0,
    "saving_usd_per_month": 16833.33,
    "saving_percent": 76.5,
    "break_even_month": 3,
    "edge_pays": True,
}


def change(name: str, kind: str, op: Any, parent: str = STACK, **more: Any) -> ResourceChange:
    return ResourceChange(f"urn:pulumi:demo::edge::{kind}::{name}", kind, name, parent, op, status="done", **more)


def run_of(*changes: ResourceChange) -> Run:
    stack = ResourceChange(STACK, "pulumi:pulumi:Stack", "edge-demo", "", "same")
    return Run(resources={one.urn: one for one in (stack, *changes)})


def shown(show: Callable[[Console], None], **options: Any) -> str:
    out = Console(file=io.StringIO(), highlight=False, markup=False, soft_wrap=True, **options)
    show(out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def outcome(run: Run, **more: Any) -> Outcome:
    return Outcome("demo", more.pop("mode", "rehearsal"), more.pop("operation", "preview"), run, **more)


def test_resources_stand_below_the_nearest_component() -> None:
    host = change("demo-a", "edge:index:Host", "create")
    base = change("demo-a-base", "command:remote:Command", "create", host.urn)
    inner = change("inner", "other:index:Thing", "create", base.urn)
    alone = change("alone", "aws:s3:Bucket", "create")
    run = run_of(host, base, inner, alone)
    assert [(group, [one.name for one in changes]) for group, changes in render.by_component(run.changes, run)] == [
        ("outside the components", ["alone"]),
        ("Host demo-a", ["demo-a", "demo-a-base", "inner"]),
    ]


def test_what_stays_as_it_is_is_only_counted() -> None:
    run = run_of(change("kept", "aws:s3:Bucket", "same"), change("made", "aws:s3:Bucket", "create"))
    text = shown(lambda out: render.outcome(out, outcome(run, duration_s=1.0)))
    assert "kept" not in text
    assert "1 to create, 1 unchanged  (1.0 s)" in text


@pytest.mark.parametrize(("operation", "words"), [("preview", "1 to update"), ("up", "1 updated")])
def test_what_will_be_done_is_not_worded_as_done(operation: str, words: str) -> None:
    run = run_of(change("x", "aws:s3:Bucket", "update"))
    assert words in shown(lambda out: render.outcome(out, outcome(run, operation=operation)))


def test_a_replacement_says_what_forces_it() -> None:
    run = run_of(change("x", "aws:s3:Bucket", "replace", changes=(PropertyChange("name", "update-replace", "a", "b"),)))
    assert "because of name" in shown(lambda out: render.outcome(out, outcome(run)))


def test_many_changed_properties_are_named_in_part_and_with_diff_in_full() -> None:
    changes = tuple(PropertyChange(f"p{number}", "update", "old", "new") for number in range(9))
    run = run_of(change("x", "aws:s3:Bucket", "update", changes=changes))
    assert "[p0, p1, p2, p3, and 5 more]" in shown(lambda out: render.outcome(out, outcome(run)))
    full = shown(lambda out: render.outcome(out, outcome(run), diff=True))
    assert "~ p8  old => new" in full
    assert "and 5 more" not in full


def test_a_component_that_is_new_as_a_whole_is_one_line_and_one_that_is_not_is_listed() -> None:
    host = change("demo-a", "edge:index:Host", "create")
    base = change("demo-a-base", "command:remote:Command", "create", host.urn)
    text = shown(lambda out: render.outcome(out, outcome(run_of(host, base))))
    assert "  + Host demo-a    2 resources to create" in text.splitlines()
    assert "demo-a-base" not in text
    assert "demo-a-base" in shown(lambda out: render.outcome(out, outcome(run_of(host, base)), diff=True))
    host.op = "same"
    assert "+ create  demo-a-base" in shown(lambda out: render.outcome(out, outcome(run_of(host, base))))


def test_what_failed_is_never_folded_away() -> None:
    host = change("demo-a", "edge:index:Host", "create")
    base = change("demo-a-base", "command:remote:Command", "create", host.urn)
    base.status = "failed"
    text = shown(lambda out: render.outcome(out, outcome(run_of(host, base), operation="up")))
    assert "demo-a-base  command:remote:Command  failed" in text


def test_policies_that_did_not_run_do_not_look_like_policies_that_found_nothing() -> None:
    run = run_of(change("x", "aws:s3:Bucket", "create"))
    assert "policies did not run" in shown(lambda out: render.outcome(out, outcome(run, judges=True)))
    # A destroy asks no policy.
    assert "policies" not in shown(lambda out: render.outcome(out, outcome(run, operation="destroy")))


def test_on_a_narrow_terminal_sentences_are_wrapped_between_words_and_in_a_file_they_are_not() -> None:
    many = tuple(f"secret-number-{number}" for number in range(20))
    paths = tuple(PropertyChange(f"spec.template.spec.containers[{n}].image", "update", "a", "b") for n in range(3))
    run = run_of(
        change("warehouse-berlin-01-arc-cluster", "azure-native:kubernetes/v20240101:ConnectedCluster", "delete"),
        change("warehouse-berlin-01-a-telemetry", "kubernetes:apps/v1:StatefulSet", "update", changes=paths),
    )
    result = outcome(run, placeholders=many, cost=COST, judges=True)
    terminal = shown(lambda out: render.outcome(out, result), force_terminal=True, width=80, no_color=True)
    assert max(len(line) for line in Text.from_ansi(terminal).plain.splitlines()) <= 80
    file = shown(lambda out: render.outcome(out, result), width=80)
    assert sum("secret-number" in line for line in file.splitlines()) == 1
    assert "azure-native:kubernetes/v20240101:ConnectedCluster" in file


def test_a_rehearsal_is_called_one_and_a_real_run_is_not() -> None:
    run = run_of()
    assert "rehearsal" in shown(lambda out: render.outcome(out, outcome(run)))
    assert "rehearsal" not in shown(lambda out: render.outcome(out, outcome(run, mode="real")))


def test_refusals_come_before_advice() -> None:
    run = run_of()
    run.findings = [
        PolicyFinding("edge", "a", "advisory", "u", "some advice"),
        PolicyFinding("edge", "w", "waived", "u", "a waived one"),
        PolicyFinding("edge", "m", "mandatory", "u", "a refusal"),
    ]
    text = shown(lambda out: render.outcome(out, outcome(run)))
    assert "waived  a waived one" in text
    assert text.index("refused a refusal") < text.index("advice  some advice")


def test_one_warning_about_many_resources_is_said_once() -> None:
    run = run_of()
    run.diagnostics = [Diagnostic("warning", f"a::b::c::d-{number}", "careful") for number in range(5)]
    text = shown(lambda out: render.outcome(out, outcome(run)))
    assert text.count("careful") == 1
    assert "d-0, d-1, d-2, and 2 more: careful" in text


def test_after_an_interruption_only_what_to_do_is_said() -> None:
    run = run_of()
    run.diagnostics = [Diagnostic("error", "", "context canceled")]
    stopped = OperationError("Interrupted.", ("edge up demo",), code=130)
    text = shown(lambda out: render.outcome(out, outcome(run, code=130, failure=stopped)))
    assert "context canceled" not in text
    assert "> edge up demo" in text


def test_the_cost_says_whether_edge_pays() -> None:
    assert render.cost_line(COST) == (
        "edge 5,167 USD/month, cloud 22,000 USD/month: edge pays, 16,833 USD/month (76.5 %); "
        "the hardware is paid back after month 3"
    )
    assert "edge does not pay" in render.cost_line({**COST, "edge_pays": False})
    assert "never paid back" in render.cost_line({**COST, "break_even_month": None})
    assert "after month 0" in render.cost_line({**COST, "break_even_month": 0}), "hardware that costs nothing"


def test_outputs_that_are_no_text_are_json() -> None:
    text = shown(lambda out: render.outputs(out, {"b": True, "a": "x", "c": [1]}))
    assert [line.split() for line in text.splitlines()] == [["a", "x"], ["b", "true"], ["c", "[1]"]]


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert render.console().no_color


def test_text_in_brackets_is_not_taken_for_markup() -> None:
    assert "[bold]x[/bold]" in shown(lambda out: render.failure(out, OperationError("[bold]x[/bold]")))
