"""A company's own rules, from a Python file in the folder of its policy pack.

The file defines ``RULES``, ``STACK_RULES`` or both, made of the classes in ``policies.rules``. It is loaded by its
path, under a name of its own: no module of this name has to be importable, and none can be in its way. What is wrong
with it is one error with file and line, and never a rule that is left out.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import sys
import traceback
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from policies import OWN_RULES
from policies.rules import CATALOGUE, RULES, STACK_RULES, Catalogue, Entry, Rule, StackRule
from policies.rules.model import Severity
from sitefile.problems import FileError, Position, Problem, any_of, near_miss

_MODULE = "_edge_own_rules"
_ID = re.compile(r"[a-z][a-z0-9-]*/[a-z0-9][a-z0-9-]*")
_LEVELS = ("mandatory", "advisory")
_TEXTS = ("title", "why", "remedy", "url", "about")
_NAMES = ("RULES", "STACK_RULES")


@functools.lru_cache(maxsize=8)
def catalogue_of(folder: Path) -> Catalogue:
    """The program's rules with those of the pack in ``folder``; only the program's where it has none of its own.

    Raises ``FileError``.
    """
    file = folder / OWN_RULES
    if not file.is_file():
        return CATALOGUE
    module = _loaded(file)
    source = ast.parse(file.read_bytes())
    rules, stack_rules = (_listed(module, name, file, source) for name in _NAMES)
    if not rules and not stack_rules:
        at = Position(file, 1, 1)
        raise _refused(
            at, f"{OWN_RULES} defines no rule", "`RULES`, `STACK_RULES` or both", "list the rules, or remove the file"
        )
    taken = {rule.id for rule in CATALOGUE}
    for expected, of in ((Rule, rules), (StackRule, stack_rules)):
        for rule in of:
            for what, remedy in _wrong(rule, expected, taken):
                raise _refused(_position(rule, file, source), what, "a rule as docs/policies.md has it", remedy)
            taken.add(rule.id)
    return Catalogue((*RULES, *rules), (*STACK_RULES, *stack_rules))


def rule_ids(folder: Path) -> tuple[str, ...]:
    """What a site may waive. Raises ``FileError``."""
    return tuple(rule.id for rule in catalogue_of(folder))


def _loaded(file: Path) -> ModuleType:
    described = importlib.util.spec_from_file_location(_MODULE, file)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    # Dataclasses look their module up by its name.
    sys.modules[_MODULE] = module
    try:
        described.loader.exec_module(module)
    except SyntaxError as error:
        if error.filename is None or Path(error.filename) != file:
            raise _stopped(error, file) from error
        at = Position(file, error.lineno or 1, error.offset or 1)
        raise _refused(at, f"not Python: {error.msg}", "Python", "correct the line") from error
    except (Exception, SystemExit) as error:
        raise _stopped(error, file) from error
    return module


def _stopped(error: BaseException, file: Path) -> FileError:
    """At the last line of the file that was running."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    said = (str(error).strip() or "no reason given").splitlines()[0]
    what = f"{OWN_RULES} stops: {type(error).__name__}: {said}"
    return _refused(Position(file, (lines or [1])[-1] or 1, 1), what, "a file that can be imported", "correct the line")


def _listed(module: ModuleType, name: str, file: Path, source: ast.Module) -> tuple[Any, ...]:
    value = getattr(module, name, ())
    if isinstance(value, list | tuple):
        return tuple(value)
    what = f"`{name}` is a {type(value).__name__}"
    raise _refused(_assigned(name, file, source), what, "a list or a tuple of rules", f"write `{name} = (rule, ...)`")


def _wrong(rule: Any, expected: type[Entry], taken: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with a rule, and what to do about it."""
    if not isinstance(rule, expected):
        other = StackRule if expected is Rule else Rule
        remedy = f"put it into `{_NAMES[other is StackRule]}`" if isinstance(rule, other) else "make it from this class"
        yield f"a {type(rule).__name__} is no `{expected.__name__}`", remedy
        return
    if not isinstance(rule.id, str) or not _ID.fullmatch(rule.id):
        yield f"{rule.id!r} is no id of a rule", "write `<group>/<name>` with lower-case letters, digits and '-'"
        return
    if rule.id in taken:
        yield f"there is a rule `{rule.id}` already", "choose another name"
    if rule.group == "waived" or rule.group.endswith("-stack"):
        yield f"the group `{rule.group}` would have the policy of another one", "choose another group"
    for name, allowed in (("level", _LEVELS), ("severity", get_args(Severity)), ("unknown", ("fails", "warns"))):
        value = getattr(rule, name)
        if value not in allowed:
            near = near_miss(str(value), allowed)
            yield f"`{rule.id}`: {name} is {value!r}", f"write `{near}`" if near else f"write {any_of(allowed)}"
    for name in _TEXTS:
        if not isinstance(value := getattr(rule, name), str) or not value.strip():
            yield f"`{rule.id}`: {name} is no text", f"write `{name}=`: people read it with each finding"
    for name in ("applies", "check"):
        if not callable(getattr(rule, name)):
            yield f"`{rule.id}`: {name} is no function", f"give it a function for `{name}`"
    if isinstance(rule, StackRule) and rule.level != "mandatory":
        yield f"`{rule.id}`: a rule about a whole stack is mandatory", 'write `level="mandatory"`'


def _position(rule: Any, file: Path, source: ast.Module) -> Position:
    """Where the id of a rule is written; where the list of rules is, if it is made up."""
    written = getattr(rule, "id", None)
    for node in ast.walk(source):
        if isinstance(node, ast.Constant) and isinstance(written, str) and node.value == written:
            return Position(file, node.lineno, node.col_offset + 1)
    return _assigned(_NAMES[isinstance(rule, StackRule)], file, source)


def _assigned(name: str, file: Path, source: ast.Module) -> Position:
    for node in source.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return Position(file, node.lineno, node.col_offset + 1)
    return Position(file, 1, 1)


def _refused(at: Position, what: str, expected: str, remedy: str) -> FileError:
    # As people know it: from the folder that holds the pack.
    shown = at._replace(file=Path(*at.file.parts[-2:]))
    return FileError([Problem.at(shown, "own-rule", what, expected, remedy)])
