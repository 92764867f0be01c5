"""JSON Schema of a file as a person writes it, for completion and checks in an editor.

Derived from the model's own schema. Owns what differs between a whole model and its file: what defaults fill in may be
left out or removed with null, and a union is one block whose tag decides which other keys it has.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from sitefile.layers import KIND, KeyPath, Layers
from sitefile.spec_shape import FORM, TAGS, UNIT, Schema
from sitefile.yaml_tree import MappingNode, Node, ScalarNode

DIALECT = "http://json-schema.org/draft-07/schema#"
"""Draft 7 is what VS Code's YAML extension supports best."""
_REFERENCE = "#/$defs/"

Json = dict[str, Any]


def editor_schema(schema: Schema, layers: Layers, title: str) -> Json:
    """The schema for files that are checked over ``layers``, from that of a ``SpecShape``."""
    written = filled(schema, layers)
    definitions = {name: _for_editors(body) for name, body in written.pop("$defs", {}).items()}
    return {
        "$schema": DIALECT,
        "title": title,
        **_for_editors(written),
        "definitions": dict(sorted(definitions.items())),
    }


def filled(schema: Schema, layers: Layers) -> Json:
    """The schema of a ``SpecShape`` over ``layers``: what they fill in is not required, and null removes it."""
    result: Json = copy.deepcopy(dict(schema))
    filling = _Filling(result)
    for layer in layers.all:
        filling.fill(result, layer.always)
        for path, node in layer.when_present.items():
            for found in filling.at(path):
                filling.fill(found, node)
        for path, kinds in layer.when_kind.items():
            for kind, node in kinds.items():
                for found in filling.at(path):
                    for block in (found, *filling.entries_of(found)):
                        filling.fill(block, node, kind)
    return result


def layer_schema(schema: Schema, title: str) -> Json:
    """The schema of a layer: parts of a file, where nothing is required and null removes a value."""
    partial = editor_schema(_partial(schema), Layers(), title)
    properties = partial.pop("properties")
    definitions = partial.pop("definitions")
    block = {key: value for key, value in partial.items() if key not in ("$schema", "title", "required", "description")}
    whole = {**block, "properties": properties}
    piece = {"type": "object"}
    return {
        "$schema": DIALECT,
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "always": {"allOf": [whole], "description": "Holds for every file."},
            "when_present": {
                "type": "object",
                "description": "Key, or path such as `parent.child` -> what holds where a file has that key.",
                "properties": properties,
                "additionalProperties": piece,
            },
            "when_kind": {
                "type": "object",
                "description": "Key or path -> kind -> what holds for a block, or an entry of a list, of that kind.",
                "additionalProperties": {"type": "object", "additionalProperties": piece},
            },
        },
        "definitions": definitions,
    }


def _partial(schema: Any) -> Any:
    """The schema with nothing required but the tags of unions, which say what the other keys are."""
    if isinstance(schema, list):
        return [_partial(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: _partial(value) for key, value in schema.items() if not (key == "required" and isinstance(value, list))
    }


class _Filling:
    def __init__(self, schema: Json) -> None:
        self._root = schema
        self._definitions: Json = schema.get("$defs", {})

    def at(self, path: KeyPath) -> list[Json]:
        """The schemas of what may be at ``path``."""
        schemas = [self._root]
        for key in path:
            schemas = [
                option["properties"][key]
                for schema in schemas
                for option in self._objects(schema)
                if key in option["properties"]
            ]
        return schemas

    def entries_of(self, schema: Json) -> list[Json]:
        """The schemas of a list's entries; none for anything else."""
        return [option["items"] for option in self._options(schema) if isinstance(option.get("items"), dict)]

    def fill(self, schema: Json, node: Node, kind: str | None = None) -> None:
        if not isinstance(node, MappingNode):
            return
        own_kind = node.entries.get(KIND)
        if kind is None and isinstance(own_kind, ScalarNode):
            kind = own_kind.text
        for option in self._objects(schema, kind):
            for key, value in node.entries.items():
                if key not in option["properties"]:
                    continue
                if key in option.get("required", ()):
                    option["required"] = [name for name in option["required"] if name != key]
                    # Filled in for every file: the model has no default to show, but nothing is missing.
                    if not isinstance(value, MappingNode):
                        option["properties"][key] = _or_null(option["properties"][key])
                self.fill(option["properties"][key], value)

    def _objects(self, schema: Json, kind: str | None = None) -> list[Json]:
        return [option for option in self._options(schema, kind) if "properties" in option]

    def _options(self, schema: Json, kind: str | None = None) -> list[Json]:
        """What the schema allows, as references into it, so that a change of a result changes the schema."""
        if "$ref" in schema:
            return self._options(self._definitions[schema["$ref"].removeprefix(_REFERENCE)], kind)
        if kind in schema.get(TAGS, ()):
            return self._options(schema[TAGS][kind])
        found = [schema]
        for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            found += self._options(option, kind)
        return found


def _or_null(schema: Json) -> Json:
    if any(option.get("type") == "null" for option in schema.get("anyOf", ())):
        return schema
    outer: Json = {key: schema[key] for key in ("description", "default") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in outer}
    return {**outer, "anyOf": [inner, {"type": "null"}]}


def _for_editors(schema: Any, *, is_names: bool = False) -> Any:
    """Draft 7, without pydantic's titles. ``is_names``: the keys of the mapping are field names, not keywords."""
    if isinstance(schema, list):
        return [_for_editors(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if is_names:
        return {name: _for_editors(body) for name, body in schema.items()}
    if "discriminator" in schema:
        return _block_by_kind(schema)
    result: Json = {}
    for key, value in schema.items():
        if key in (TAGS, FORM, UNIT, "title") or (key == "required" and not value):
            continue
        if key == "$ref":
            result[key] = value.replace(_REFERENCE, "#/definitions/")
        elif key in ("default", "const", "enum", "examples"):
            result[key] = value
        elif key == "description":
            result[key] = " ".join(value.split())
        elif key == "oneOf" and TAGS in schema:
            # The keys decide which one is meant; `oneOf` only leads to worse messages.
            result["anyOf"] = _for_editors(value)
        else:
            result[key] = _for_editors(value, is_names=key in ("properties", "patternProperties"))
    if "$ref" in result and len(result) > 1:
        # Draft 7 ignores keywords next to a reference.
        result = {"allOf": [{"$ref": result.pop("$ref")}], **result}
    return result


def _block_by_kind(schema: Mapping[str, Any]) -> Json:
    """The tag first, then the keys of the chosen alternative, so that the editor completes and checks only that one."""
    tag = schema["discriminator"]["propertyName"]
    kinds: Mapping[str, Json] = schema[TAGS]
    about: Json = {}
    if "description" in schema:
        about["description"] = " ".join(schema["description"].split())
    if "default" in schema:
        about["default"] = schema["default"]
    return {
        **about,
        "type": "object",
        "required": [tag],
        "properties": {tag: {"enum": list(kinds), "description": f"One of: {', '.join(kinds)}."}},
        "allOf": [
            {"if": {"properties": {tag: {"const": kind}}, "required": [tag]}, "then": _for_editors(body)}
            for kind, body in kinds.items()
        ],
    }
