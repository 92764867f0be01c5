"""The plan of a site as one hash: everything that its program registers, whoever wrote it and wherever.

A program of its own, so that the code of another revision can be asked too: `PYTHONPATH=CODE python -P FILE PROJECT`,
with the site files as a list in JSON on standard input. Prints a line of JSON for each. It uses as few names of the
project as it can, for a revision may lack them: then it prints one line that says so.

What a preview shows and this does not: properties that are computed by a provider. What this leaves out on purpose: the
output `built_from`, which changes with every file of the program.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TextIO

NO_PLAN = "no plan: "
"""In place of a fingerprint: what follows is the reason."""
_LEFT_OUT = "built_from"
# By name: a revision whose records have more fields is compared by those that both have.
_OPTIONS = (
    "type",
    "name",
    "parent",
    "custom",
    "provider",
    "dependencies",
    "property_dependencies",
    "additional_secret_outputs",
    "ignore_changes",
    "replace_on_changes",
    "aliases",
    "protect",
    "retain_on_delete",
    "delete_before_replace",
    "deleted_with",
    "custom_timeouts",
    "version",
)


def fingerprint(recording: Any) -> str:
    """The hash of a ``Recording``: resources by URN, with inputs and options, and the stack's outputs."""
    resources = sorted((_resource(one) for one in recording.resources), key=lambda one: str(one["urn"]))
    outputs = {key: plain(value) for key, value in recording.outputs.items() if key != _LEFT_OUT}
    text = json.dumps([resources, outputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _resource(one: Any) -> dict[str, Any]:
    options = {name: plain(getattr(one, name, None)) for name in _OPTIONS}
    # What a provider answers is made up by the rehearsal; what a component says is the program's.
    said = {} if one.custom else {key: plain(value) for key, value in one.outputs.items() if key != _LEFT_OUT}
    return {"urn": one.urn, "inputs": plain(one.inputs), "outputs": said, **options}


def plain(value: Any) -> Any:
    """A value as JSON has it. A secret differs from the same text in the open."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    kind = type(value).__name__
    return [kind, plain(value.value)] if hasattr(value, "value") else [kind]


def _plans(root: Path) -> Callable[[Path], str]:
    """Makes fingerprints with the program that Python finds. Raises what its imports raise."""
    from edge.run.program import recorded, rehearsed
    from edge.run.stack_settings import read_settings
    from stacks.loader import site_checker

    checker = cache(lambda folder: site_checker(root, folder))

    def plan(file: Path) -> str:
        checked = checker(file.parent).check(file)
        if checked.model is None:
            problem = checked.problems[0]
            raise ValueError(f"{problem.file}:{problem.line}:{problem.column}: {problem.what}")
        spec = checked.model
        settings = read_settings(root, spec.site)
        return fingerprint(recorded(spec, rehearsed(spec, settings.plain, file, root), root))

    return plan


def main() -> None:
    root = Path(sys.argv[1])
    # What the program prints is no answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    try:
        plan = _plans(root)
    except Exception as error:
        _print(answers, {"cannot": reason(error)})
        return
    for name in json.load(sys.stdin):
        try:
            _print(answers, {"file": name, "plan": plan(root / name)})
        except Exception as error:
            _print(answers, {"file": name, "error": reason(error)})


def reason(error: Exception) -> str:
    """Why there is no plan, in one line."""
    said = (str(error).strip() or "no reason given").splitlines()[0]
    return said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"


def _print(answers: TextIO, document: dict[str, str]) -> None:
    print(json.dumps(document), file=answers, flush=True)


if __name__ == "__main__":
    main()
