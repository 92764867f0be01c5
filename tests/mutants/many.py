"""Mutants of what commands on many sites promise."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_PROMISES = "tests/promises/test_many_sites.py"
_MANY = "tests/edge/test_many.py"
_CHANGED = "tests/edge/test_changed.py"
_SELECTION = "tests/edge/test_selection.py"
_STATUS = "tests/edge/test_status.py"

MANY: tuple[Mutant, ...] = (
    Mutant(
        "a site that fails never stops the others",
        "edge/run/many.py",
        "    except FileError as error:\n        first,",
        "    except ZeroDivisionError as error:\n        first,",
        (_PROMISES,),
    ),
    Mutant(
        "of many sites, one that failed is the exit code",
        "edge/run/many.py",
        "return FAILED if self.failed else DONE",
        "return DONE",
        (_MANY, _PROMISES),
    ),
    Mutant(
        "a selector that fits no site is bad input",
        "edge/run/selection.py",
        "    if not found:\n        said",
        "    if False:\n        said",
        (_PROMISES, _SELECTION),
    ),
    Mutant(
        "a key that no site has is bad input",
        "edge/run/selection.py",
        "if term.key not in known:",
        "if False:",
        (_SELECTION,),
    ),
    Mutant(
        "a site file that cannot be read is selected, so that its fault is shown",
        "edge/run/selection.py",
        "return values is None or any",
        "return values is not None and any",
        (_SELECTION,),
    ),
    Mutant(
        "at several sites, what is applied is what was shown",
        "edge/commands/up.py",
        "if job.agreed is not None and agreement(planned) != job.agreed:",
        "if False:",
        (f"{_MANY}::test_what_is_applied_is_what_was_shown",),
    ),
    Mutant(
        "at several sites, what destroys is refused",
        "edge/commands/up.py",
        "planned = _allowed(planned, [])",
        "planned = planned",
        (f"{_MANY}::test_consent_to_what_destroys_is_given_for_one_site_only",),
    ),
    Mutant(
        "a site that has no plan to compare is not taken for unchanged",
        "edge/run/changed.py",
        "if no_plan or now[name]",
        "if now[name]",
        (_CHANGED,),
    ),
    Mutant(
        "a site that has no plan is judged, whatever it had",
        "edge/run/check.py",
        "if plan == before and not plan.startswith(NO_PLAN):",
        "if plan == before:",
        (_CHANGED,),
    ),
    Mutant(
        "a change of options of a resource is a change of its site",
        "edge/run/fingerprint.py",
        '"outputs": said, **options}',
        '"outputs": said}',
        (_CHANGED,),
    ),
    Mutant(
        "a state that cannot be read is a failure",
        "edge/run/status.py",
        'return FAILED if self.state == "unreadable" else DONE',
        "return DONE",
        (_STATUS,),
    ),
    Mutant(
        "a state that is gone is not taken for a site that was never applied",
        "edge/run/status.py",
        "if lost := state_lost(",
        "if lost := None and state_lost(",
        (_STATUS,),
    ),
)
