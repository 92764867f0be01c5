"""Mutants of what a preview promises."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_EVENTS = "tests/edge/test_events.py"
_RENDER = "tests/edge/test_render.py"
_PLANS = "tests/edge/test_plans.py"
_DIFFERENCE = "tests/edge/test_difference.py"

PREVIEW: tuple[Mutant, ...] = (
    Mutant(
        "policies that did not run do not look like policies that found nothing",
        "edge/run/operation.py",
        "outcome.code == DONE and not run.verdict.complete",
        "False",
        (
            "tests/edge/test_operations.py::test_without_its_policies_a_preview_fails_however_well_the_engine_is_content",
        ),
    ),
    Mutant(
        "a resource that no policy has seen is told",
        "edge/run/judged.py",
        "and not self.not_judged",
        "",
        (_EVENTS,),
    ),
    Mutant(
        "every rule has to run",
        "edge/run/judged.py",
        "and self.rules == self.rules_expected",
        "",
        (_EVENTS,),
    ),
    Mutant(
        "a result without policies says so",
        "edge/show/render.py",
        "if not verdict.ran:",
        "if False:",
        (_RENDER,),
    ),
    Mutant(
        "what is in a secret is shown as secret",
        "edge/run/difference.py",
        "if value in (SECRET, UNKNOWN):",
        "if False:",
        (_EVENTS,),
    ),
    Mutant(
        "the order of a preview is not that of the events",
        "edge/run/events.py",
        "key=self._position",
        "key=lambda _one: 0",
        (_EVENTS,),
    ),
    Mutant(
        "a preview's document holds no time",
        "edge/run/operation.py",
        'if self.operation != "preview":\n            # A preview says',
        "if True:\n            # A preview says",
        ("tests/edge/test_cli.py",),
    ),
    Mutant(
        "a script is compared line by line as it was written",
        "edge/show/difference.py",
        "command = script_of(value)",
        "command = None",
        (_DIFFERENCE,),
    ),
    Mutant(
        "control characters in a value do not act on the terminal",
        "edge/show/lines.py",
        "return line.translate(_HIDDEN)",
        "return line",
        (_DIFFERENCE,),
    ),
    Mutant(
        "a plan of a rehearsal is not applied for real",
        "edge/run/plans.py",
        'if own.get("mode", mode) != mode:',
        "if False:",
        (_PLANS,),
    ),
    Mutant(
        "a violation of a plan quotes no value",
        "edge/run/plans.py",
        "if names else match",
        "if False else match",
        (f"{_PLANS}::test_a_violation_names_the_properties_and_none_of_their_values",),
    ),
    Mutant(
        "a real preview creates no stack",
        "edge/run/operation.py",
        'if self.mode == "real" and operation == "preview":',
        "if False:",
        ("tests/edge/test_new_stack.py::test_a_real_preview_creates_no_stack_and_up_does",),
    ),
    Mutant(
        "a revision's state is made by the revision's own program",
        "edge/run/rehearsed_at.py",
        'own = "" if name in base.rehearsed else _up(checkout, root, [name])',
        'own = "not tried"',
        ("tests/edge/test_against.py::test_the_state_is_that_of_the_revisions_own_program",),
    ),
)
