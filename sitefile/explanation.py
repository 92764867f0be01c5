"""Pydantic's errors in plain words, each at the position in the file that it is about.

Owns the wording and the choice of the position. The rules themselves are in the models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sitefile.problems import Conflicts, DataPath, Position, Problem, Unfit, any_of, dotted, near_miss, shown
from sitefile.spec_shape import Location, SpecShape, description, valid_keys
from sitefile.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode, find, lost, plain

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping of keys and values",
    "mapping_type": "a mapping of keys and values",
    "model_type": "a mapping of keys and values",
    "model_attributes_type": "a mapping of keys and values",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}
_LENGTHS = {
    "string_too_short": ("min_length", "at least", "is too short"),
    "string_too_long": ("max_length", "at most", "is too long"),
    "too_short": ("min_length", "at least", "has too few entries"),
    "too_long": ("max_length", "at most", "has too many entries"),
}

Words = tuple[str, str, str, str]
"""code, what, expected, remedy"""


def explain(errors: Sequence[Mapping[str, Any]], tree: MappingNode, shape: SpecShape, file: Path) -> list[Problem]:
    """All errors as problems, without those that only follow from another one or from a tag."""
    located = [(error, at) for error, at in shape.locate_all(errors, tree) if not (at.node and at.node.tagged)]
    misspelt = {
        (*at.path[:-1], near)
        for error, at in located
        if error["type"] == "extra_forbidden"
        and (near := near_miss(at.path[-1], _unused(at, valid_keys(at.parent_schema), tree)))
    }
    problems = []
    for error, at in located:
        if error["type"] == "missing" and (at.path in misspelt or lost(tree, at.path)):
            continue
        cause = (error.get("ctx") or {}).get("error")
        if isinstance(cause, Conflicts):
            for finding in cause.findings:
                path = (*at.path, *finding.path)
                if not lost(tree, path):
                    position = position_of(tree, path, file)
                    problems.append(Problem.at(position, "rule", finding.what, finding.expected, finding.remedy, path))
            continue
        code, what, expected, remedy = _words(error, at, shape, tree)
        problems.append(Problem.at(_position(error, at, tree, file), code, what, expected, remedy, at.path))
    return problems


def position_of(tree: MappingNode, path: DataPath, file: Path) -> Position:
    """Where ``path`` is written: the value, or the key of a block. Else the nearest block around it in ``file``."""
    node = find(tree, path)
    while path and node is None:
        path = path[:-1]
        node = find(tree, path)
        if node is not None and node.position.file != file:
            node = None
    if node is None or not path:
        return _first(tree, file)
    if isinstance(node, MappingNode | SequenceNode):
        parent = find(tree, path[:-1])
        if isinstance(parent, MappingNode) and parent.keys[str(path[-1])].file == node.position.file:
            return parent.keys[str(path[-1])]
    return node.position


def _first(tree: MappingNode, file: Path) -> Position:
    return tree.position if tree.position.file == file else Position(file, 1, 1)


def _position(error: Mapping[str, Any], at: Location, tree: MappingNode, file: Path) -> Position:
    parent = find(tree, at.path[:-1])
    if (error["type"] == "extra_forbidden" or at.is_key) and isinstance(parent, MappingNode):
        return parent.keys[str(at.path[-1])]
    if error["type"] == "union_tag_invalid" and isinstance(at.node, MappingNode):
        tag = at.node.entries.get(str(error["ctx"]["discriminator"]).strip("'"))
        return tag.position if tag is not None else at.node.position
    return position_of(tree, at.path, file)


def _words(error: Mapping[str, Any], at: Location, shape: SpecShape, tree: MappingNode) -> Words:
    kind = error["type"]
    context = error.get("ctx") or {}
    name = shown(dotted(at.path)) if at.path else "the file"
    meaning = description(at.schema)
    if kind == "missing":
        return _missing(at, meaning, shape)
    if kind == "extra_forbidden":
        return _unknown(at, tree)
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _kind(name, kind, at, shape)
    if isinstance(at.node, ScalarNode) and at.node.value is None:
        return (
            "no-value",
            f"{name} has no value",
            meaning or _TYPES.get(kind, "a value"),
            "write a value after the colon, or remove the key",
        )
    written = _written(at.node)
    if kind in ("literal_error", "enum", "const"):
        return _unknown_choice(name, at, shape)
    if kind in _TYPES:
        return _wrong_type(name, kind, at, shape)
    if kind in _BOUNDS:
        key, words_ = _BOUNDS[kind]
        return "out-of-range", f"{name} is {written}", f"{words_} {_number(context[key])}{_note(meaning)}", "correct it"
    if kind in _LENGTHS:
        return _wrong_length(name, kind, at, context)
    if kind == "string_pattern_mismatch":
        expected = f"text that matches `{context.get('pattern')}`{_note(meaning)}"
        return "invalid-value", f"{name} cannot be {written}", expected, "write it in this form"
    return _own_words(error, at, name, written, meaning, tree)


def _unknown_choice(name: str, at: Location, shape: SpecShape) -> Words:
    what, schema = f"{name} cannot be {_written(at.node)}", at.schema
    chosen = at.node.text if isinstance(at.node, ScalarNode) else ""
    if at.is_key:
        chosen, schema = str(at.path[-1]), at.parent_schema.get("propertyNames", {})
        what = f"there is no {shown(chosen)} in {shown(dotted(at.path[:-1]))}"
    words = shape.choices(schema)
    near = near_miss(chosen, words)
    hint = f": did you mean `{near}`?" if near else ""
    return "unknown-choice", what + hint, any_of(words), f"write `{near}`" if near else "choose one of these"


def _with_values(remedy: str, beside: Node | None) -> str:
    """The remedy with the values of the keys that it names in braces."""

    def value(match: re.Match[str]) -> str:
        node = beside.entries.get(match[1]) if isinstance(beside, MappingNode) else None
        return node.text if isinstance(node, ScalarNode) and node.text.isprintable() and node.text else match[1].upper()

    return re.sub(r"\{([a-z_]+)\}", value, remedy)


def _own_words(
    error: Mapping[str, Any], at: Location, name: str, written: str, meaning: str, tree: MappingNode
) -> Words:
    """A validator's own message. By convention it begins with "expected" where it says what is valid."""
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    subject = f"the key {shown(str(at.path[-1]))}" if at.is_key else name
    is_block = not isinstance(at.node, ScalarNode) or at.is_key
    cause = (error.get("ctx") or {}).get("error")
    if isinstance(cause, Unfit):
        what = f"{subject}: {cause.what}" if is_block else f"{subject} cannot be {written}: {cause.what}"
        return "invalid-value", what, cause.expected, _with_values(cause.remedy, find(tree, at.path[:-1]))
    if message.startswith("expected "):
        what = f"{subject} is not valid" if is_block else f"{subject} cannot be {written}"
        return "invalid-value", what, message.removeprefix("expected "), "write it in this form"
    what = f"{subject}: {message}" if is_block else f"{subject} cannot be {written}: {message}"
    return "invalid-value", what, meaning or "a valid value", "correct it as the message says"


def _missing(at: Location, meaning: str, shape: SpecShape) -> Words:
    parent = at.path[:-1]
    where = f" in {shown(dotted(parent))}" if parent else ""
    key = str(at.path[-1])
    choices = shape.choices(at.schema)
    expected = meaning + (f" ({any_of(choices)})" if choices else "")
    return "missing", f"{shown(key)} is missing{where}", expected or f"the key {shown(key)}", f"add `{key}:`{where}"


def _unknown(at: Location, tree: MappingNode) -> Words:
    key = str(at.path[-1])
    parent = at.path[:-1]
    where = f" in {shown(dotted(parent))}" if parent else ""
    valid = valid_keys(at.parent_schema)
    unused = _unused(at, valid, tree)
    near = near_miss(key, unused) or near_miss(key, valid)
    if near:
        expected = description(at.parent_schema["properties"][near])
        remedy = f"write `{near}`" if near in unused else f"remove it: `{near}` is there already"
        return "unknown-key", f"unknown key {shown(key)}{where}: did you mean `{near}`?", expected, remedy
    return "unknown-key", f"unknown key {shown(key)}{where}", any_of(valid) if valid else "no key here", "remove it"


def _unused(at: Location, valid: list[str], tree: MappingNode) -> list[str]:
    parent = find(tree, at.path[:-1])
    return [key for key in valid if not (isinstance(parent, MappingNode) and key in parent.entries)]


def _kind(name: str, error: str, at: Location, shape: SpecShape) -> Words:
    tag, tags = shape.tags(at.schema)
    written = at.node.entries.get(tag) if isinstance(at.node, MappingNode) else None
    if error == "union_tag_not_found" or not isinstance(written, ScalarNode):
        return "missing-kind", f"{name} has no `{tag}`", any_of(tags), f"add `{tag}:` with one of these"
    near = near_miss(written.text, tags)
    hint = f": did you mean `{near}`?" if near else ""
    what = f"{name} cannot be of {tag} {shown(written.text)}{hint}"
    return "unknown-kind", what, any_of(tags), f"write `{tag}: {near}`" if near else "choose one of these"


def _wrong_type(name: str, kind: str, at: Location, shape: SpecShape) -> Words:
    expected = _TYPES[kind]
    node = at.node
    tag, tags = shape.tags(at.schema)
    remedy = "write it in this form"
    if expected == "text" and isinstance(node, ScalarNode):
        remedy = f'put it in quotes: "{node.text}"'
    elif expected == "a list":
        remedy = f"put it in brackets: [{node.text}]" if isinstance(node, ScalarNode) else "begin each entry with `- `"
    elif isinstance(node, ScalarNode) and isinstance(node.value, str) and "number" in expected:
        remedy = "write the number alone, without quotes or unit"
    elif kind == "bool_type":
        remedy = "write `true` or `false`, without quotes"
    elif isinstance(node, ScalarNode) and node.value in tags:
        remedy = f"write `{{{tag}: {node.text}}}`"
    return "wrong-type", f"{name} is {_typed(node)}", expected + _note(description(at.schema)), remedy


def _wrong_length(name: str, kind: str, at: Location, context: Mapping[str, Any]) -> Words:
    key, words, what = _LENGTHS[kind]
    if isinstance(at.node, ScalarNode):
        # After a validator, pydantic does not know any more that the value is a text.
        what = "is too short" if "short" in kind else "is too long"
        has, unit = len(at.node.text), "character"
    else:
        has, unit = len(plain(at.node)) if at.node is not None else 0, "entr"
    plural = {"character": ("character", "characters"), "entr": ("entry", "entries")}[unit][context[key] != 1]
    remedy = "add what is missing" if "short" in kind else "shorten it"
    return "wrong-length", f"{name} {what}", f"{words} {context[key]} {plural}, this has {has}", remedy


def _note(meaning: str) -> str:
    return f" ({meaning})" if meaning else ""


def _written(node: Node | None) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    if node is None or node.value is None:
        return "nothing"
    kind = "text" if isinstance(node.value, str) else "true or false" if isinstance(node.value, bool) else "number"
    return shown(node.text) if kind == "true or false" or node.text else f"empty {kind}"


def _typed(node: Node | None) -> str:
    """The value with its type, because `"22"` and `22` look alike without it."""
    if isinstance(node, ScalarNode) and node.text and not isinstance(node.value, bool):
        return f"the {'text' if isinstance(node.value, str) else 'number'} {_written(node)}"
    return _written(node)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
