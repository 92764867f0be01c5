"""Inputs of the component -> a site's specification and its secrets, or everything that is wrong with them.

The inputs are checked as a site file is: the same defaults below them, the same model, the same rules. Owns what a file
cannot hold: values that are not known yet, secrets, whole numbers that arrive as decimal ones; and what inputs cannot
hold: an explicit null.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi

from components.view import SecretNeed
from sitefile.problems import DataPath, FileError, Position, Problem, any_of, near_miss, shown
from sitefile.yaml_source import from_text
from stacks.configuration import full_key
from stacks.loader import site_checker
from stacks.package.schema import SECRETS, WITHOUT
from stacks.parts import required
from stacks.site import SiteSpec

Secret = Callable[[str], pulumi.Input[str]]
Configured = Callable[[str], pulumi.Input[str] | None]
"""Gives the secret under a key of the stack's configuration, if it is there."""

_HERE = Path()
"""The program itself, as the place of a problem."""


def site_of(name: str, inputs: Mapping[str, Any], root: Path) -> SiteSpec:
    """The site that the inputs of the resource ``name`` describe, over the defaults of the repository ``root``.

    Raises FileError with everything that is wrong.
    """
    described = {key: value for key, value in inputs.items() if key not in (SECRETS, WITHOUT)}
    without = inputs.get(WITHOUT, [])
    refuse(_not_plain({**described, WITHOUT: without}, ()))
    described = _with_whole_numbers(described)
    refuse(_removed(described, without))
    refuse(_misnamed(described.setdefault("site", name), name))
    # JSON is YAML in which all text is quoted: nothing is read as another type than it has.
    text = json.dumps(described, indent=1, ensure_ascii=False)
    checked = site_checker(root).check_source(from_text(text, _file(name)))
    if checked.model is None:
        raise FileError(_once(checked.problems))
    return checked.model


def secrets_of(spec: SiteSpec, inputs: Mapping[str, Any], configured: Configured) -> Secret:
    """The site's secrets by key: the inputs' own, then the stack's configuration. No value is looked at.

    Raises FileError with everything that is wrong.
    """
    given = inputs.get(SECRETS, {})
    needs = {need.key: need for need in required(spec)}
    refuse(_unfit_secrets(given, needs))
    found = {key: pulumi.Output.secret(value) for key, value in given.items()}
    own = {key: value for key in needs if key not in found and (value := configured(key)) is not None}
    refuse(_missing(need) for key, need in needs.items() if key not in found and key not in own)
    return {**found, **own}.__getitem__


def refuse(problems: Iterator[Problem]) -> None:
    """Raise FileError with these problems, if there are any."""
    if found := list(problems):
        raise FileError(found)


def explained(name: str, error: FileError) -> str:
    """What is wrong with the inputs of the resource ``name``, by property. Holds no value that may be a secret."""
    lines = [f"{name} is no valid site"]
    for problem in error.problems:
        elsewhere = (
            ""
            if problem.file in (_HERE, _file(name))
            else f"{problem.file.as_posix()}:{problem.line}:{problem.column}: "
        )
        lines.append(f"  {problem.path or 'inputs'}: {elsewhere}{problem.what}")
        lines += [f"    expected: {problem.expected}"] if problem.expected else []
        lines += [f"    do: {problem.remedy}"] if problem.remedy else []
    if any("`null`" in problem.remedy for problem in error.problems):
        lines.append(f"  In a program, list the path below `{WITHOUT}` instead of writing `null`.")
    return "\n".join(lines)


def _once(problems: Sequence[Problem]) -> list[Problem]:
    """Without what is said of a whole line that a property of it is said to have. An input has no comments."""
    placed = {(problem.line, problem.code) for problem in problems if problem.path}
    return [problem for problem in problems if problem.path or (problem.line, problem.code) not in placed]


def _file(name: str) -> Path:
    """What stands for the site file."""
    return Path(f"{name}.yaml")


def _problem(path: DataPath, what: str, expected: str, remedy: str) -> Problem:
    return Problem.at(Position(_HERE, 1, 1), "input", what, expected, remedy, path)


def _not_plain(value: Any, path: DataPath) -> Iterator[Problem]:
    """Values that are secret, or that another resource decides."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _not_plain(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _not_plain(item, (*path, index))
    elif not isinstance(value, str | int | float | None):
        yield _problem(
            path,
            "the value is a secret, or an output of another resource",
            "a plain value: a site is checked and planned before anything is made",
            f"write the value itself; a secret belongs below `{SECRETS}`",
        )


def _with_whole_numbers(value: Any) -> Any:
    """Numbers come from the engine as decimal ones, whatever they were."""
    if isinstance(value, dict):
        return {key: _with_whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _removed(described: dict[str, Any], without: list[Any]) -> Iterator[Problem]:
    """Put a null at each path of ``without``; what is wrong with the others."""
    for index, path in enumerate(without):
        *parents, key = str(path).split(".")
        block: Any = described
        for parent in parents:
            block = block.get(parent) if isinstance(block, dict) else None
        if isinstance(block, dict) and key not in block:
            block[key] = None
            continue
        yield _problem(
            (WITHOUT, index),
            f"{shown(str(path))} " + ("has a value here" if isinstance(block, dict) else "is in no block that is here"),
            "the path of a default in a block of this site, such as `telemetry.instance_id`",
            "remove one of the two" if isinstance(block, dict) else "correct the path, or remove it",
        )


def _misnamed(site: Any, name: str) -> Iterator[Problem]:
    if site != name:
        yield _problem(
            ("site",),
            f"the site is {shown(str(site))} but the resource is {shown(name)}",
            "one name for both",
            f"leave `site` out, or name the resource {shown(str(site))}",
        )


def _unfit_secrets(given: Any, needs: Mapping[str, SecretNeed]) -> Iterator[Problem]:
    if not isinstance(given, dict):
        yield _problem((SECRETS,), "it is one value", "a map, and in it each value a secret", "write the keys out")
        return
    for key, value in given.items():
        if key not in needs:
            near = near_miss(key, needs)
            expected = any_of(needs) if needs else "no secret: this site needs none"
            remedy = f"write `{near}`" if near else "remove it"
            yield _problem((SECRETS, key), "this site needs no such secret", expected, remedy)
        elif not isinstance(value, pulumi.Output):
            remedy = f"set another one with `pulumi config set --secret {full_key(key)}`, and revoke this one"
            yield _problem((SECRETS, key), "a secret in plain text", "a value that is a Pulumi secret", remedy)


def _missing(need: SecretNeed) -> Problem:
    remedy = f"set it here, or with `pulumi config set --secret {full_key(need.key)}`"
    return _problem((SECRETS, need.key), "it is missing", f"a secret: {need.why}", remedy)
