"""The form of a file: which keys are valid where, which choices they have and what they mean.

Owns the walk over the JSON Schema that pydantic derives from a model. Finds no problems and knows no particular model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from sitefile.problems import DataPath
from sitefile.yaml_tree import MappingNode, Node, SequenceNode

Schema = Mapping[str, Any]
PydanticError = Mapping[str, Any]
TAGS = "x-tags"
FORM = "x-form"
"""What a type says in words of the text that it accepts."""
UNIT = "x-unit"
"""The unit of a number whose name does not end in it."""
KEY = "[key]"
"""How pydantic marks an error in a key rather than in its value."""


@dataclass(frozen=True)
class Location:
    """Where a pydantic error is: in the data, in the tree and in the schema."""

    path: DataPath
    node: Node | None
    schema: Schema
    parent_schema: Schema
    branch: tuple[DataPath, str] | None
    """The alternative of an untagged union that the error belongs to: the union's path and the alternative's label."""
    is_key: bool


class _WithTags(GenerateJsonSchema):
    """Keeps which tag selects which alternative. JSON Schema cannot express tags that a function chooses."""

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        result = super().tagged_union_schema(schema)
        result[TAGS] = {str(tag): self.generate_inner(choice) for tag, choice in schema["choices"].items()}
        return result


class SpecShape:
    """A model's schema, walked along a path in the data.

    The schema takes 0.1 s to derive and is only needed to explain errors, so it is derived when the first one occurs.
    """

    def __init__(self, model: type[BaseModel] | Schema) -> None:
        """Of a model, or of a file for which there is a JSON Schema only."""
        self._model = model
        self.fields = frozenset() if isinstance(model, Mapping) else frozenset(_fields(model, set()))
        """Every key that the model has anywhere."""

    @cached_property
    def schema(self) -> Schema:
        model = self._model
        return model if isinstance(model, Mapping) else model.model_json_schema(schema_generator=_WithTags)

    @property
    def _definitions(self) -> Schema:
        found: Schema = self.schema.get("$defs", {})
        return found

    def locate(self, loc: Sequence[str | int], tree: Node) -> Location:
        schema, parent = self.schema, self.schema
        node: Node | None = tree
        path: list[str | int] = []
        branch: tuple[DataPath, str] | None = None
        is_key = False
        meaning = ""
        for element in loc:
            alternatives, tags = self.alternatives(schema)
            if len(alternatives) > 1:
                schema = self._labelled(alternatives, tags, str(element))
                branch = branch if tags else (tuple(path), str(element))
                continue
            if element == KEY:
                is_key = True
                break
            path.append(element)
            parent = alternatives[0]
            schema = _child(parent, element)
            # Entries of a list and values under free keys mean what their field says.
            meaning = schema.get("description") or (meaning if element not in parent.get("properties", ()) else "")
            node = _step(node, element)
        alternatives, _ = self.alternatives(schema)
        final = alternatives[0] if len(alternatives) == 1 else self.resolve(schema)
        # The alternatives carry the type; the description belongs to the field.
        if "description" in schema or (meaning and "description" not in final):
            final = {**final, "description": schema.get("description", meaning)}
        return Location(tuple(path), node, final, parent, branch, is_key)

    def locate_all(self, errors: Iterable[PydanticError], tree: Node) -> list[tuple[PydanticError, Location]]:
        """Each error with its location, without those that only follow from another one.

        Of an untagged union's alternatives, only the one that was most likely meant.
        """
        located = [(error, self.locate(error["loc"], tree)) for error in errors]
        located = [(error, at) for error, at in located if not _counts_only_sound_entries(error, at)]
        faults: dict[DataPath, dict[str, int]] = {}
        for error, at in located:
            if at.branch is not None:
                path, label = at.branch
                weight = 3 if error["type"].endswith("_type") else 2 if error["type"] == "extra_forbidden" else 1
                count = faults.setdefault(path, {})
                count[label] = count.get(label, 0) + weight
        best = {path: min(count, key=lambda label: count[label]) for path, count in faults.items()}
        return [(error, at) for error, at in located if at.branch is None or best[at.branch[0]] == at.branch[1]]

    def resolve(self, schema: Schema) -> Schema:
        """The schema with references followed. Keywords next to a reference win."""
        while "$ref" in schema:
            target = self._definitions[schema["$ref"].rpartition("/")[2]]
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        return schema

    def alternatives(self, schema: Schema) -> tuple[list[Schema], Mapping[str, Schema]]:
        """What a value may be except null, and for a tagged union the alternative of each tag."""
        schema = self.resolve(schema)
        options = schema.get("anyOf") or schema.get("oneOf")
        if not options:
            return [schema], {}
        options = [option for option in options if option.get("type") != "null"]
        if len(options) == 1:
            return self.alternatives(options[0])
        return [self.resolve(option) for option in options], schema.get(TAGS, {})

    def tags(self, schema: Schema) -> tuple[str, list[str]]:
        """The key that tells the alternatives of a tagged union apart, and its values. Empty for anything else."""
        schema = self.resolve(schema)
        options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
        if len(options) == 1:
            return self.tags(options[0])
        discriminator = schema.get("discriminator", {})
        return discriminator.get("propertyName", ""), list(discriminator.get("mapping", ()))

    def choices(self, schema: Schema) -> list[str]:
        """The words that a value must be one of. Empty if any value is allowed."""
        schema = self.resolve(schema)
        if "const" in schema:
            return [str(schema["const"])]
        return [str(word) for word in schema.get("enum", ())]

    def _labelled(self, alternatives: list[Schema], tags: Mapping[str, Schema], label: str) -> Schema:
        if label in tags:
            return self.resolve(tags[label])
        for option in alternatives:
            # A validator around a model is part of its label: function-after[check(), GitSource].
            if option.get("title") and str(option["title"]) in label:
                return option
        return {}


def _fields(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    """The keys of ``model`` and of every model below it."""
    seen.add(model)
    for name, field in model.model_fields.items():
        yield field.alias or name
        for below in _models(field.annotation):
            if below not in seen:
                yield from _fields(below, seen)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _counts_only_sound_entries(error: PydanticError, at: Location) -> bool:
    """Whether a list is long enough as written: pydantic does not count entries that have an error of their own."""
    return (
        error["type"] == "too_short"
        and isinstance(at.node, SequenceNode)
        and len(at.node.items) >= error["ctx"]["min_length"]
    )


def valid_keys(schema: Schema) -> list[str]:
    return list(schema.get("properties", ()))


def description(schema: Schema) -> str:
    """The first sentence of a field's description, on one line."""
    text = " ".join(str(schema.get("description", "")).split())
    end = text.find(". ")
    return (text[:end] if end > 0 else text).rstrip(".")


def _child(schema: Schema, element: str | int) -> Schema:
    if isinstance(element, int):
        items = schema.get("items", {})
        return items if isinstance(items, dict) else {}
    properties: Schema = schema.get("properties", {})
    if element in properties:
        found: Schema = properties[element]
        return found
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        return others
    return next(iter(schema.get("patternProperties", {}).values()), {})


def _step(node: Node | None, element: str | int) -> Node | None:
    if isinstance(node, MappingNode) and isinstance(element, str):
        return node.entries.get(element)
    if isinstance(node, SequenceNode) and isinstance(element, int) and element < len(node.items):
        return node.items[element]
    return None
