from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from edge.run.difference import ABSENT, PropertyChange
from edge.run.events import Run, Step, name_of
from policies.rules.catalogue import CATALOGUE
from policies.settings import ADVISORY, MANDATORY, TOGETHER, WAIVED

STACK = "urn:pulumi:demo::edge::pulumi:pulumi:Stack::edge-demo"
HOST = "urn:pulumi:demo::edge::edge:index:EdgeSite$edge:index:Host::demo-a"
BASE = "urn:pulumi:demo::edge::edge:index:EdgeSite$edge:index:Host$command:remote:Command::demo-a-base"


def metadata(op: str, urn: str = BASE, **more: Any) -> dict[str, Any]:
    kind = urn.split("::")[2].split("$")[-1]
    return {"op": op, "urn": urn, "type": kind, "old": None, "new": {"parent": HOST}, "detailedDiff": None, **more}


def begins(op: str, urn: str = BASE, **more: Any) -> dict[str, Any]:
    return {"resourcePreEvent": {"metadata": metadata(op, urn, **more)}}


def ends(op: str, urn: str = BASE, **more: Any) -> dict[str, Any]:
    return {"resOutputsEvent": {"metadata": metadata(op, urn, **more)}}


def fed(*events: dict[str, Any]) -> Run:
    run = Run()
    for event in events:
        run.feed(event)
    return run


def test_a_replacement_told_in_three_steps_is_one_replacement() -> None:
    run = fed(begins("create-replacement"), begins("replace"), begins("delete-replaced"), ends("delete-replaced"))
    assert run.counts == {"create": 0, "update": 0, "replace": 1, "delete": 0, "same": 0}


def test_a_later_weaker_step_does_not_hide_what_was_planned() -> None:
    assert fed(begins("update"), ends("same")).counts["update"] == 1


def test_the_stack_itself_is_not_counted() -> None:
    assert fed(begins("create", STACK), begins("create", HOST)).counts["create"] == 1


def test_changed_properties_are_given_by_path_with_what_forces_a_replacement() -> None:
    run = fed(
        begins(
            "replace",
            keys=["connection"],
            old={"parent": HOST, "inputs": {"create": "old", "connection": {"host": "10.0.0.1"}}},
            new={"parent": HOST, "inputs": {"create": "new\nline", "connection": {"host": "10.0.0.2"}}},
            detailedDiff={
                "create": {"diffKind": "update", "inputDiff": True},
                "connection.host": {"diffKind": "update-replace", "inputDiff": True},
            },
        )
    )
    assert run.resources[BASE].changes == (
        PropertyChange("connection.host", "update-replace", "10.0.0.1", "10.0.0.2"),
        PropertyChange("create", "update", "old", "new\nline"),
    )
    assert run.resources[BASE].as_dict()["diffs"] == ["connection.host", "create"]
    assert run.resources[BASE].as_dict()["replace_keys"] == ["connection"]


def test_a_path_with_brackets_and_quoted_keys_is_followed() -> None:
    run = fed(
        begins(
            "update",
            old={"inputs": {"labels": {"a.b/c": "1"}, "ports": [{"port": 80}]}},
            new={"inputs": {"labels": {"a.b/c": "2"}, "ports": [{"port": 81}, {"port": 82}]}},
            detailedDiff={
                'labels["a.b/c"]': {"diffKind": "update", "inputDiff": True},
                "ports[0].port": {"diffKind": "update", "inputDiff": True},
                "ports[1]": {"diffKind": "add", "inputDiff": True},
            },
        )
    )
    assert [(change.before, change.after) for change in run.resources[BASE].changes] == [
        ("1", "2"),
        (80, 81),
        (ABSENT, {"port": 82}),
    ]


def test_without_a_detailed_diff_the_names_of_the_properties_are_given() -> None:
    run = fed(begins("update", diffs=["triggers"]))
    assert [change.path for change in run.resources[BASE].changes] == ["triggers"]


def test_a_components_change_is_found_between_its_inputs() -> None:
    run = fed(
        begins(
            "update",
            HOST,
            old={"inputs": {"site": "demo", "hours": 24, "gone": "x"}},
            new={"inputs": {"site": "demo", "hours": 48, "more": True}},
        )
    )
    assert [(one.path, one.kind) for one in run.resources[HOST].changes] == [
        ("gone", "delete"),
        ("hours", "update"),
        ("more", "add"),
    ]


def test_a_long_value_is_never_cut() -> None:
    """Two scripts begin alike: what differs is further down."""
    run = fed(
        begins(
            "update",
            old={"inputs": {"create": "x" * 5000 + "a"}},
            new={"inputs": {"create": "x" * 5000 + "b"}},
            detailedDiff={"create": {"diffKind": "update", "inputDiff": True}},
        )
    )
    (change,) = run.resources[BASE].changes
    assert (len(change.before), change.before[-1], change.after[-1]) == (5001, "a", "b")
    assert run.resources[BASE].as_dict()["changes"] == [change.as_dict()]


def test_a_new_resource_tells_all_its_properties_and_a_deleted_one_all_it_had() -> None:
    run = fed(begins("create", new={"parent": HOST, "inputs": {"b": 1, "a": "x"}}))
    assert run.resources[BASE].changes == (PropertyChange("a", "add", after="x"), PropertyChange("b", "add", after=1))
    run = fed(begins("delete", old={"parent": HOST, "inputs": {"a": "x"}}, new=None))
    assert run.resources[BASE].changes == (PropertyChange("a", "delete", before="x"),)


def test_a_replacement_is_told_by_its_difference_whatever_steps_follow() -> None:
    old, new = {"parent": HOST, "inputs": {"a": "x", "b": 1}}, {"parent": HOST, "inputs": {"a": "y", "b": 1}}
    detailed = {"a": {"diffKind": "update-replace", "inputDiff": True}}
    run = fed(
        begins("create-replacement", old=old, new=new, detailedDiff=detailed),
        begins("delete-replaced", old=old, new=None),
        begins("delete", old=old, new=None),
    )
    assert run.resources[BASE].changes == (PropertyChange("a", "update-replace", "x", "y"),)


SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}


def test_what_is_in_a_secret_is_secret_and_what_is_not_known_yet_says_so() -> None:
    later = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    run = fed(
        begins(
            "update",
            old={"inputs": {"connection": SECRET, "id": "1"}},
            new={"inputs": {"connection": SECRET, "id": later}},
            detailedDiff={path: {"diffKind": "update", "inputDiff": True} for path in ("connection.host", "id")},
        )
    )
    assert run.resources[BASE].changes == (
        PropertyChange("connection.host", "update", "[secret]", "[secret]"),
        PropertyChange("id", "update", "1", "[unknown]"),
    )


def test_the_order_is_that_of_the_tree_and_not_that_of_the_events() -> None:
    other = BASE.replace("demo-a-base", "demo-a-facts")
    events = [begins("create", HOST), begins("create", other), begins("create")]
    names = [[one.name for one in fed(*order).changes] for order in (events, events[::-1])]
    assert names == [["demo-a", "demo-a-base", "demo-a-facts"]] * 2


def test_steps_are_told_once_each() -> None:
    run = Run()
    told = [run.feed(event) for event in (begins("create"), ends("create"), ends("create"))]
    assert [step.status if isinstance(step, Step) else None for step in told] == ["running", "done", None]


def test_what_failed_stays_failed_and_is_explained_with_what_it_printed() -> None:
    run = fed(
        begins("create"),
        {"diagnosticEvent": {"severity": "info", "urn": BASE, "message": "unpacking\ndisk is full\n"}},
        {"diagnosticEvent": {"severity": "error", "urn": BASE, "message": "<{%fg 1%}>exit status 1<{%reset%}>\n"}},
        {"resOpFailedEvent": {"metadata": metadata("create"), "status": 1, "steps": 0}},
        ends("create"),
    )
    assert run.resources[BASE].status == "failed"
    assert [error.message for error in run.errors] == ["exit status 1"]
    assert run.said_by(BASE) == ("unpacking", "disk is full")


def test_a_failed_script_of_the_official_plugin_is_shown_by_its_output_once_and_never_by_its_text() -> None:
    script = r"exec bash -c \'say \"hello\" # running \"x\":\\n exit 1\\nmore\'"
    said = "unpacking\nerror: disk is full"
    message = f'Process exited with status 1: running "{script}":\n{said}'
    run = fed(
        {"diagnosticEvent": {"severity": "info", "urn": BASE, "message": f"{said}\n"}},
        {"diagnosticEvent": {"severity": "error", "urn": BASE, "message": f"{message}\n"}},
    )
    assert [error.message for error in run.errors] == [f"Process exited with status 1\n{said}"]
    assert run.said_by(BASE) == ()


_TIMED_OUT = "resource was created, but failed to become live: timed out waiting for the condition"
_SOURCE = "urn:pulumi:a::edge::edge:index:Flux$kubernetes:source.toolkit.fluxcd.io/v1:GitRepository::a-flux-source"


def failed(outputs: dict[str, Any], urn: str = _SOURCE) -> Run:
    error = {"diagnosticEvent": {"severity": "error", "urn": urn, "message": _TIMED_OUT}}
    new = {"parent": "", "outputs": outputs}
    ended = {"resOpFailedEvent": {"metadata": metadata("create", urn, new=new), "status": 1, "steps": 0}}
    return fed(begins("create", urn), error, ended)


def source(*conditions: dict[str, str], **spec: Any) -> dict[str, Any]:
    name = {"name": "edge-configs"}
    return {"kind": "GitRepository", "metadata": name, "spec": spec, "status": {"conditions": list(conditions)}}


REFUSED = {"type": "Ready", "status": "False", "reason": "GitOperationFailed", "message": "cannot clone:\n401 from git"}


def test_what_never_became_ready_is_told_in_the_words_of_its_controller() -> None:
    (error,) = failed(source({"type": "FetchFailed", "status": "True", "message": "x"}, REFUSED)).errors
    assert error.message.splitlines() == [
        "GitRepository edge-configs says: GitOperationFailed: cannot clone: 401 from git",
        _TIMED_OUT,
    ]


def test_a_controller_that_has_given_up_is_quoted_before_one_that_tries_again() -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "InvalidURL", "message": "no such scheme"}
    (error,) = failed(source(REFUSED, stalled)).errors
    assert error.message.startswith("GitRepository edge-configs says: InvalidURL: no such scheme\n")


def test_an_object_that_somebody_has_suspended_is_said_to_be() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact"}
    (error,) = failed(source(ready, suspend=True)).errors
    assert error.message.startswith("GitRepository edge-configs is suspended")


@pytest.mark.parametrize(
    "outputs", [{}, source(), {"kind": "x", "status": "[secret]"}, {"status": {"conditions": [1]}}]
)
def test_an_object_that_says_nothing_leaves_the_plugins_own_error(outputs: dict[str, Any]) -> None:
    assert [error.message for error in failed(outputs).errors] == [_TIMED_OUT]


def test_a_failed_script_that_printed_nothing_is_shown_by_how_it_ended() -> None:
    message = "Process exited with status 1: running \"exec bash -c 'exit 1'\":\n"
    run = fed({"diagnosticEvent": {"severity": "error", "urn": BASE, "message": message}})
    assert [error.message for error in run.errors] == ["Process exited with status 1"]


def test_an_error_that_only_looks_like_a_scripts_is_shown_whole() -> None:
    message = 'a hook failed: running "unclosed:\nmore'
    run = fed({"diagnosticEvent": {"severity": "error", "urn": BASE, "message": message}})
    assert [error.message for error in run.errors] == [message]


def test_only_the_last_lines_of_a_talkative_resource_are_kept() -> None:
    lines = [{"diagnosticEvent": {"severity": "info", "urn": BASE, "message": f"{n}\n"}} for n in range(1000)]
    assert fed(*lines).said_by(BASE)[-1] == "999"
    assert len(fed(*lines).said_by(BASE)) <= 20


def test_a_remediation_is_as_mandatory_as_a_refusal() -> None:
    events = [
        {"policyEvent": {"enforcementLevel": level, "policyName": level, "message": "m", "resourceUrn": BASE}}
        for level in ("advisory", "mandatory", "remediate")
    ]
    assert [finding.policy for finding in fed(*events).violations] == ["mandatory", "remediate"]


def test_outputs_are_those_of_the_stack() -> None:
    run = fed(ends("create", STACK, new={"parent": "", "outputs": {"site": "demo", "kubeconfig": "[secret]"}}))
    assert run.outputs == {"site": "demo", "kubeconfig": "[secret]"}


def stack(op: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return ends(op, STACK, old={"outputs": before}, new={"parent": "", "outputs": after})


def test_outputs_that_come_go_or_change_are_named() -> None:
    before, after = {"site": "demo", "gone": 1, "changed": "a"}, {"site": "demo", "come": 2, "changed": "b"}
    # The engine ends the stack's own step first, with what there was.
    run = fed(stack("same", before, before), stack("same", before, after))
    assert run.changed_outputs == ["changed", "come", "gone"]


def test_outputs_that_go_with_their_stack_are_not_named() -> None:
    assert fed(stack("delete", {"site": "demo"}, {})).changed_outputs == []


@pytest.mark.parametrize(
    ("events", "nothing"),
    [
        ([stack("same", {"a": 1}, {"a": 1}), ends("same")], True),
        ([stack("same", {"a": 1}, {"a": 2}), ends("same")], False),
        ([stack("create", {}, {}), ends("same")], False),
        ([stack("same", {}, {}), ends("update")], False),
        ([stack("same", {}, {}), ends("read")], False),
        ([], False),
    ],
)
def test_a_run_changes_nothing_where_stack_outputs_and_resources_stay_as_they_are(
    events: list[dict[str, Any]], nothing: bool
) -> None:
    assert fed(*events).changes_nothing is nothing


def test_a_line_that_is_no_event_is_kept_and_stops_nothing() -> None:
    run = Run()
    for line in ("warning: something\n", "[1]\n", "\n", json.dumps(begins("create")) + "\n"):
        run.feed_line(line)
    assert run.unreadable == ["warning: something\n", "[1]\n"]
    assert run.counts["create"] == 1


def test_an_operation_that_is_not_known_yet_counts_as_an_update() -> None:
    assert fed(begins("something-new")).counts["update"] == 1


def test_the_name_of_a_urn_may_hold_colons() -> None:
    assert name_of("urn:pulumi:s::p::t::a::b") == "a::b"


def test_what_the_sdk_tells_itself_is_not_kept() -> None:
    assert fed({"diagnosticEvent": {"severity": "debug", "message": "registering resource\n"}}).said_by("") == ()


def test_a_refusal_is_given_by_its_rule_without_the_policys_description() -> None:
    message = "What runs at a site is known.\nsupply-chain/registry-allowlist: demo-a: image is not allowed. Do this.\n"
    policy = {"policyName": "edge-resources-mandatory", "policyPackName": "edge", "enforcementLevel": "mandatory"}
    (finding,) = fed({"policyEvent": {**policy, "message": message, "resourceUrn": BASE}}).violations
    assert finding.rule == "supply-chain/registry-allowlist"
    assert finding.message == "supply-chain/registry-allowlist: demo-a: image is not allowed. Do this."


def test_what_the_packs_policy_of_waivers_says_is_waived_and_stops_nothing() -> None:
    message = (
        "What is allowed is shown.\nnetwork/mtls-strict: demo-k3s: flannel_backend is open. Waived until 2027-01-31"
    )
    policy = {"policyName": WAIVED, "policyPackName": "edge", "enforcementLevel": "advisory"}
    run = fed({"policyEvent": {**policy, "message": message, "resourceUrn": BASE}})
    ((finding,), violations) = run.policies, run.violations
    assert (finding.level, finding.rule, violations) == ("waived", "network/mtls-strict", [])


def test_what_the_policies_say_is_told_in_one_order_however_it_arrives() -> None:
    waived = {"policyName": WAIVED, "policyPackName": "edge", "enforcementLevel": "advisory", "resourceUrn": BASE}
    of_charts = [{"policyEvent": {**waived, "message": f"chart {name}: not rendered"}} for name in "abc"]
    refused = {"enforcementLevel": "mandatory", "message": "no", "resourceUrn": BASE}
    of_packs = [{"policyEvent": {**refused, "policyPackName": name}} for name in "abc"]
    for ordered in itertools.permutations(range(3)):
        run = fed(*(of_charts[at] for at in ordered), *(of_packs[at] for at in ordered))
        assert run.charts == [f"chart {name}: not rendered" for name in "abc"]
        assert [finding.pack for finding in run.policies] == ["a", "b", "c"]


def test_a_finding_of_another_pack_keeps_its_whole_message() -> None:
    (finding,) = fed({"policyEvent": {"enforcementLevel": "advisory", "message": "No: really\n"}}).policies
    assert (finding.rule, finding.message) == ("", "No: really")


def judged(urn: str, **more: Any) -> dict[str, Any]:
    return {
        "policyAnalyzeSummaryEvent": {
            "resourceUrn": urn,
            "policyPackName": "edge",
            "passed": [MANDATORY, ADVISORY],
            **more,
        }
    }


WHOLE = {"policyAnalyzeStackSummaryEvent": {"policyPackName": "edge", "passed": [TOGETHER]}}
ENDED = {"summaryEvent": {"result": "succeeded", "PolicyPacks": {"edge|local|/policies": "0.1.0"}}}


def test_policies_that_ran_on_every_resource_are_told_with_their_number_of_rules() -> None:
    verdict = fed(begins("create", HOST), begins("create"), judged(HOST), judged(BASE), WHOLE, ENDED).verdict
    assert (verdict.complete, verdict.rules, verdict.resources) == (True, len(CATALOGUE), 2)


@pytest.mark.parametrize(
    ("events", "ran"),
    [
        ([begins("create"), ENDED], False),
        ([begins("create"), judged(HOST), WHOLE, ENDED], True),
        ([begins("create"), judged(BASE), ENDED], True),
        ([begins("create"), judged(BASE, passed=[]), WHOLE, ENDED], True),
        ([begins("create"), judged(BASE, policyPackName="another"), ENDED], False),
        ([begins("create"), judged(BASE), WHOLE, {"summaryEvent": {"result": "succeeded"}}], True),
    ],
    ids=["no pack", "not this resource", "no stack rule", "no rule", "another pack", "not loaded to the end"],
)
def test_policies_that_ran_in_part_or_not_at_all_do_not_count_as_run(events: list[dict[str, Any]], ran: bool) -> None:
    verdict = fed(*events).verdict
    assert (verdict.complete, verdict.ran) == (False, ran)


def test_what_goes_is_not_for_the_policies_to_judge() -> None:
    assert fed(begins("delete", old={"parent": HOST}, new=None), judged(HOST), WHOLE, ENDED).verdict.complete


def test_after_a_refusal_the_engines_last_word_is_left_out() -> None:
    last_word = {"diagnosticEvent": {"severity": "error", "message": "preview failed\n"}}
    assert fed({"policyEvent": {"enforcementLevel": "mandatory", "message": "no"}}, last_word).errors == []
    assert [error.message for error in fed(last_word).errors] == ["preview failed"]


TRACE = """an unhandled error occurred: python inline source runtime error: no such part
Traceback (most recent call last):
  File "x.py", line 1, in run
    raise ValueError("no such part")
ValueError: no such part
said in two lines
"""


def test_an_error_of_the_program_is_said_once_and_without_its_trace() -> None:
    events = [
        {"diagnosticEvent": {"severity": "error", "message": text}}
        for text in (TRACE, TRACE.removeprefix("an unhandled error occurred: "))
    ]
    messages = [error.message for error in fed(*events).errors]
    assert messages == ["the program stops: ValueError: no such part\nsaid in two lines"]


def test_the_trace_is_kept_where_it_is_asked_for() -> None:
    run = Run(traces=True)
    run.feed({"diagnosticEvent": {"severity": "error", "message": TRACE}})
    assert "Traceback" in run.errors[0].message
