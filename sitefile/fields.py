"""The fields of a file as people ask for them: what each means, its type, unit, default, choices, and what is below.

Owns the tree of fields that a model's schema describes, and how a field is named: its keys with dots between them,
without list indices. Where a block has several kinds, the kind is one more word: `store.disk.size`. Reads no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sitefile.layers import KeyPath, Layer, Layers
from sitefile.problems import near_miss
from sitefile.spec_shape import FORM, UNIT, Schema, SpecShape
from sitefile.yaml_tree import Node, find

NO_DEFAULT = object()
"""The default of a field that a file must have."""

_UNITS = {
    "ms": "ms",
    "s": "s",
    "minutes": "minutes",
    "hours": "hours",
    "months": "months",
    "mbps": "Mbit/s",
    "mib": "MiB",
    "gib": "GiB",
    "tops_int8": "TOPS",
    "watts": "W",
    "usd": "USD",
    "usd_per_month": "USD per month",
    "billion": "billions",
    "c": "degrees Celsius",
}
"""How the name of a number ends, by the unit that it is in. The longest ending counts."""

_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
_PLURALS = {"text": "text", "true or false": "true or false"}
_INDEX = re.compile(r"\[[^\]]*\]")
_SUCH_AS = re.compile(r"such as `([^`]+)`")
_FORM_SUCH_AS = re.compile(r"such as (\S*[^\s.,])")
_BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
    ("multipleOf", "a multiple of {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} entries"),
    ("maxItems", "at most {} entries"),
    ("minProperties", "at least {} entries"),
)


@dataclass(frozen=True)
class Kind:
    """A choice on the way to a field: the block at ``keys`` is of this kind, which its key ``by`` says."""

    keys: KeyPath
    by: str
    name: str


@dataclass(frozen=True)
class Field:
    """One field, or one kind of a block."""

    path: str
    """Its name, as in `store.disk.size`; empty for the file itself."""
    name: str
    type: str
    description: str
    keys: KeyPath = ()
    """The keys that lead to it in a file: ``path`` without kinds."""
    chosen: tuple[Kind, ...] = ()
    """The kinds on the way to it."""
    required: bool = False
    default: Any = NO_DEFAULT
    unit: str = ""
    allowed: tuple[str, ...] = ()
    """The words that it may be; empty where it is free."""
    limits: tuple[str, ...] = ()
    """What a value must keep to, in words."""
    pattern: str = ""
    """A regular expression that text must match."""
    examples: tuple[Any, ...] = ()
    about: str = ""
    """What its block is, for a block that says more than the field does."""
    fields: tuple[Field, ...] = ()
    """What is below it, in every kind."""
    kinds: tuple[Field, ...] = ()
    """The alternatives of its block, each with what is below it."""
    by: str = ""
    """The key by which a file chooses among ``kinds``; empty where their own keys tell them apart."""
    is_kind: bool = False
    """Whether it is an alternative of a block, and no field of its own."""

    def below(self) -> Iterator[Field]:
        """Every field below it, and the kinds of its blocks."""
        for field in (*self.fields, *self.kinds):
            yield field
            yield from field.below()

    def step(self, word: str) -> list[Field]:
        """What ``word`` may be below this field."""
        if own := [field for field in self.fields if field.name == word]:
            return own
        if self.by and (kind := [kind for kind in self.kinds if kind.name == word]):
            return kind
        return [field for kind in self.kinds for field in kind.fields if field.name == word]

    def filled_in(self, layers: Layers) -> Iterator[tuple[str, Node]]:
        """Values that layers have for it: where each holds, such as `zone: far` (empty: everywhere), and the value."""
        selected = [
            (f"{key}: {value}", chosen)
            for key, by_value in layers.selected.items()
            for value, chosen in by_value.items()
        ]
        for where, chosen in (("", layers.common), *selected):
            # Of two layers that hold for the same files, the later one is over the other.
            if (found := next((node for layer in reversed(chosen) for node in self._in(layer)), None)) is not None:
                yield where, found

    def _in(self, layer: Layer) -> Iterator[Node]:
        """Values that one layer has for it."""
        parts: list[tuple[KeyPath, Node]] = [((), layer.always), *layer.when_present.items()]
        parts += [
            (kind.keys, layer.when_kind[kind.keys][kind.name])
            for kind in self.chosen
            if kind.name in layer.when_kind.get(kind.keys, {})
        ]
        for at, node in parts:
            if self.keys[: len(at)] == at and (found := find(node, self.keys[len(at) :])) is not None:
                yield found

    def as_dict(self) -> dict[str, Any]:
        """The field for programs; what is below it by name."""
        return {
            "path": self.path,
            "type": self.type,
            "description": self.description,
            "about": self.about,
            "required": self.required,
            "default": None if self.default is NO_DEFAULT else self.default,
            "unit": self.unit,
            "allowed": list(self.allowed),
            "limits": list(self.limits),
            "pattern": self.pattern,
            "examples": list(self.examples),
            "kinds": [kind.name for kind in self.kinds],
            "fields": [field.path for field in (*self.fields, *(f for kind in self.kinds for f in kind.fields))],
        }


class Fields:
    """All fields of a model's file."""

    def __init__(self, shape: SpecShape) -> None:
        self._shape = shape

    @cached_property
    def root(self) -> Field:
        """The file itself."""
        return self._field(self._shape.schema, Field("", "", "block", ""), required=True, inherited=NO_DEFAULT)

    def named(self, name: str) -> tuple[Field, ...]:
        """The fields that ``name`` may mean: several where blocks of several kinds have it. List indices are ignored.

        Empty where there is none.
        """
        found = [self.root]
        for word in _words(name):
            found = [below for field in found for below in field.step(word)]
        return tuple(found)

    def near(self, name: str) -> list[str]:
        """Fields that may be meant by a ``name`` that is none: misspelt, or without what is above them."""
        words = _words(name)
        found, so_far = [self.root], list[str]()
        for at, word in enumerate(words):
            below = [one for field in found for one in field.step(word)]
            if not below:
                choices = dict.fromkeys(
                    one.name
                    for field in found
                    for one in (*field.fields, *field.kinds, *(f for kind in field.kinds for f in kind.fields))
                )
                meant = near_miss(word, choices)
                corrected = ".".join([*so_far, meant, *words[at + 1 :]]) if meant else ""
                if meant and not self.named(corrected):
                    corrected = ".".join([*so_far, meant])
                same = [one.path for one in self.root.below() if one.path.split(".")[-len(words) :] == words]
                return list(dict.fromkeys(([corrected] if corrected else []) + same))
            found, so_far = below, [*so_far, word]
        return []

    def _field(self, schema: Schema, field: Field, *, required: bool, inherited: Any) -> Field:
        """``field`` with everything that ``schema`` says of it."""
        default = schema.get("default", NO_DEFAULT if required else inherited)
        options, _ = self._shape.alternatives(schema)
        value = options[0] if len(options) == 1 else {}
        item = self._entry(value)
        description = _one_line(schema.get("description", ""))
        blocks = list(self._blocks(schema))
        tag, tags = self._tags(schema)
        about = _one_line(blocks[0][1].get("description", "")) if len(blocks) == 1 and not tag else ""
        made = Field(
            path=field.path,
            name=field.name,
            type=self._type(schema),
            description=description or about,
            keys=field.keys,
            chosen=field.chosen,
            required=required,
            default=default,
            unit=str(item.get(UNIT) or schema.get(UNIT) or _unit(field.name, self._type(schema))),
            allowed=tuple(tags) or tuple(self._choices(schema)),
            limits=tuple(_limits(value, item)),
            pattern=str(item.get("pattern", "")) if not item.get(FORM) else "",
            examples=_examples(schema, value, item, description),
            about=about if about != description else "",
            by=tag,
        )
        if len(blocks) == 1 and not tag:
            return replace(made, fields=self._below(blocks[0][1], made, default))
        kinds = tuple(self._kind(label, block, made, default) for label, block in blocks)
        own = (self._selector(made, default),) if tag else ()
        return replace(made, fields=own, kinds=kinds)

    def _kind(self, label: str, block: Schema, of: Field, default: Any) -> Field:
        """One alternative of a block."""
        chosen = (*of.chosen, Kind(of.keys, of.by, label)) if of.by else of.chosen
        path = f"{of.path}.{label}" if of.by else of.path
        kind = Field(path, label, "block", _one_line(block.get("description", "")), of.keys, chosen, is_kind=True)
        is_default = isinstance(default, dict) and of.by != "" and default.get(of.by) == label
        return replace(kind, fields=self._below(block, kind, default if is_default else NO_DEFAULT))

    def _selector(self, of: Field, default: Any) -> Field:
        """The key that chooses the kind of a block."""
        kind = default.get(of.by, NO_DEFAULT) if isinstance(default, dict) else NO_DEFAULT
        return Field(
            path=f"{of.path}.{of.by}",
            name=of.by,
            type="text",
            description="Chooses what the block is, and so which other fields it has.",
            keys=(*of.keys, of.by),
            chosen=of.chosen,
            required=kind is NO_DEFAULT,
            default=kind,
            allowed=of.allowed,
        )

    def _below(self, block: Schema, of: Field, default: Any) -> tuple[Field, ...]:
        required = block.get("required", ())
        return tuple(
            self._field(
                schema,
                Field(f"{of.path}.{name}".lstrip("."), name, "", "", (*of.keys, name), of.chosen),
                required=name in required,
                inherited=default.get(name, NO_DEFAULT) if isinstance(default, dict) else NO_DEFAULT,
            )
            for name, schema in block.get("properties", {}).items()
        )

    def _blocks(self, schema: Schema) -> Iterator[tuple[str, Schema]]:
        """The blocks that a value, an entry of a list or a value of a mapping may be, each with its label."""
        options, tags = self._shape.alternatives(schema)
        if len(options) > 1:
            labelled = tags or {str(option.get("title", "")): option for option in options}
            for label, option in labelled.items():
                block = self._shape.resolve(option)
                if "properties" in block:
                    yield label, block
            return
        (option,) = options
        if "properties" in option:
            # What stands beside a reference belongs to the field, not to its block.
            yield "", self._shape.resolve({"$ref": schema["$ref"]}) if "$ref" in schema else option
        elif (inner := _inner(option)) is not None:
            yield from self._blocks(inner)

    def _tags(self, schema: Schema) -> tuple[str, list[str]]:
        """The key that chooses among the blocks of a value or of a list's entries, and its values."""
        options, _ = self._shape.alternatives(schema)
        inner = _inner(options[0]) if len(options) == 1 else None
        return self._tags(inner) if inner is not None else self._shape.tags(schema)

    def _entry(self, value: Schema) -> Schema:
        """The schema of a single value: of a list's entry, for a list."""
        if isinstance(value.get("items"), dict):
            options, _ = self._shape.alternatives(value["items"])
            return self._entry(options[0]) if len(options) == 1 else {}
        return value

    def _choices(self, schema: Schema) -> list[str]:
        options, _ = self._shape.alternatives(schema)
        if len(options) == 1 and isinstance(options[0].get("items"), dict):
            return self._choices(options[0]["items"])
        return self._shape.choices(options[0]) if len(options) == 1 else []

    def _type(self, schema: Schema) -> str:
        """The type in words."""
        options, _ = self._shape.alternatives(schema)
        if len(options) > 1:
            return " or ".join(dict.fromkeys(self._type(option) for option in options))
        (option,) = options
        if option.get("type") == "array":
            return f"list of {_plural(self._type(option.get('items', {})))}"
        if "properties" in option:
            return "block"
        if option.get("type") == "object":
            inner = _inner(option)
            return f"mapping of names to {_plural(self._type(inner)) if inner is not None else 'values'}"
        return _TYPES.get(str(option.get("type", "")), "value")


def _words(name: str) -> list[str]:
    return [word for word in _INDEX.sub("", name).split(".") if word]


def _inner(option: Schema) -> Schema | None:
    """The schema of a list's entries or of a mapping's values."""
    for key in ("items", "additionalProperties"):
        found = option.get(key)
        if isinstance(found, Mapping):
            return found
    patterns: Schema = option.get("patternProperties", {})
    return next(iter(patterns.values()), None)


def _plural(words: str) -> str:
    if words in _PLURALS or words.startswith(("list ", "mapping ")):
        return words.replace("mapping of", "mappings of", 1).replace("list of", "lists of", 1)
    return " or ".join(_PLURALS.get(word, f"{word}s") for word in words.split(" or "))


def _unit(name: str, kind: str) -> str:
    if "number" not in kind:
        return ""
    words = name.split("_")
    endings = ("_".join(words[at:]) for at in range(len(words)))
    return next((_UNITS[ending] for ending in endings if ending in _UNITS), "")


def _limits(value: Schema, item: Schema) -> Iterator[str]:
    if form := item.get(FORM):
        yield str(form)
    for schema in (value,) if item is value else (value, item):
        for key, words in _BOUNDS:
            if key in schema and (key, schema[key]) != ("minLength", 1):
                text = words.format(f"{schema[key]:g}" if isinstance(schema[key], float) else schema[key])
                yield text.replace("entries", "entry") if schema[key] == 1 else text


def _examples(schema: Schema, value: Schema, item: Schema, description: str) -> tuple[Any, ...]:
    """What the field names as examples, or its type, or its description."""
    for source in (schema, value, item):
        if source.get("examples"):
            return tuple(source["examples"])
    said = _SUCH_AS.findall(description) or _FORM_SUCH_AS.findall(str(item.get(FORM, "")))
    return tuple(said[:1])


def _one_line(text: str) -> str:
    return " ".join(str(text).split())
