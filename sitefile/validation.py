"""A tree against a model: the model, or all errors together, those behind the first one included.

pydantic stops at a block whose kind it does not know, and rules need a whole model. So a kind that was mistyped is
corrected and looked into, and faulty values are replaced by ones about which no rule has anything to say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from sitefile.problems import DataPath, near_miss
from sitefile.spec_shape import Location, PydanticError, SpecShape, valid_keys
from sitefile.yaml_tree import MappingNode, ScalarNode, drop, plain

Model = TypeVar("Model", bound=BaseModel)

REMOVED = object()
"""A stand-in for a value that may be left out."""

StandIn = Callable[[DataPath], tuple[DataPath, Any] | None]
"""For the path of a faulty or missing value: which path to replace (itself, or a block around it) by what, so that the
rules say nothing that depends on it. None where there is no such value, and the rules have to wait."""

_MOST_KINDS = 4
"""Blocks within blocks of unknown kind that are looked into."""


class Validation(Generic[Model]):
    """One tree against one model."""

    def __init__(self, model: type[Model], tree: MappingNode, shape: SpecShape) -> None:
        self._model = model
        self._tree = tree
        self._shape = shape
        self.model: Model | None = None
        self.errors: list[PydanticError] = []
        """All errors of the shape; empty where there is a model."""
        self._validate()

    def without_faults(self, stand_in: StandIn) -> tuple[Model, list[DataPath]] | None:
        """A model in which each fault is replaced, and the paths whose values are not the file's."""
        data = plain(self._tree)
        replaced: list[DataPath] = []
        for error in self.errors:
            at = self._shape.locate(error["loc"], self._tree)
            for path in self._paths(error, at):
                found = stand_in(path)
                if found is None or not _put(data, *found):
                    return None
                replaced += [path, found[0], at.path]
            if error["type"] == "extra_forbidden":
                _put(data, at.path, REMOVED)
        try:
            return self._parse(data), replaced
        except ValidationError:
            return None

    def _paths(self, error: PydanticError, at: Location) -> Iterator[DataPath]:
        """Which values are unknown because of an error."""
        if error["type"] != "extra_forbidden":
            yield at.path
        elif len(at.path) > 1:
            # What is meant by such a key is not known, unless it was only mistyped.
            near = near_miss(at.path[-1], valid_keys(at.parent_schema))
            yield (*at.path[:-1], near or at.path[-1])
        elif near := near_miss(at.path[-1], valid_keys(at.parent_schema)):
            yield (near,)

    def _validate(self) -> None:
        """Strict, as JSON, so that the editor's schema agrees and text is never read as a number."""
        try:
            self.model = self._parse(plain(self._tree))
            return
        except ValidationError as invalid:
            errors: Sequence[PydanticError] = invalid.errors(include_url=False)
        removed = [
            at.path
            for error in errors
            if isinstance((at := self._shape.locate(error["loc"], self._tree)).node, ScalarNode) and at.node.removes
        ]
        if removed:
            for path in removed:
                drop(self._tree, path)
            self._validate()
            return
        self.errors = [*errors, *self._behind_kinds(errors)]

    def _behind_kinds(self, errors: Sequence[PydanticError]) -> Iterator[PydanticError]:
        """Errors in blocks whose kind was mistyped or left out."""
        data = plain(self._tree)
        corrected: set[DataPath] = set()
        seen = {(tuple(error["loc"]), error["type"]) for error in errors}
        for _ in range(_MOST_KINDS):
            found = {
                at.path: kind for error in errors if (kind := self._meant(error, at := self._at(error))) is not None
            }
            if not found.keys() - corrected:
                return
            for path, (tag, meant) in found.items():
                _put(data, (*path, tag), meant)
            corrected |= found.keys()
            try:
                self._parse(data)
                return
            except ValidationError as invalid:
                errors = invalid.errors(include_url=False)
            for error in errors:
                key = (tuple(error["loc"]), error["type"])
                path = self._at(error).path
                # Defaults of the kind may fill in what is missing.
                if key in seen or error["type"] == "missing":
                    continue
                if any(path[: len(block)] == block for block in corrected):
                    seen.add(key)
                    yield error

    def _meant(self, error: PydanticError, at: Location) -> tuple[str, str] | None:
        """Tag and kind that a block was probably to have."""
        if error["type"] not in ("union_tag_invalid", "union_tag_not_found") or not isinstance(at.node, MappingNode):
            return None
        tag, kinds = self._shape.tags(at.schema)
        written = at.node.entries.get(tag)
        if isinstance(written, ScalarNode):
            kind = near_miss(written.text, kinds)
            return (tag, kind) if kind else None
        _, members = self._shape.alternatives(at.schema)
        fitting = [
            kind
            for kind in kinds
            if kind in members and at.node.entries.keys() <= set(valid_keys(self._shape.resolve(members[kind])))
        ]
        return (tag, fitting[0]) if len(fitting) == 1 and at.node.entries else None

    def _at(self, error: PydanticError) -> Location:
        return self._shape.locate(error["loc"], self._tree)

    def _parse(self, data: Any) -> Model:
        return self._model.model_validate_json(json.dumps(data), strict=True)


def _put(data: Any, path: DataPath, value: Any) -> bool:
    """Set or remove what is at ``path``; false where there is nothing that could hold it."""
    *parents, last = path
    for element in parents:
        if not _has(data, element):
            # What is to be removed has gone with the block around it.
            return value is REMOVED
        data = data[element]
    if isinstance(data, dict) and value is REMOVED:
        data.pop(last, None)
        return True
    if isinstance(data, dict) or (_has(data, last) and value is not REMOVED):
        data[last] = value
        return True
    return False


def _has(data: Any, element: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(element, int) and element < len(data)
    return isinstance(data, dict) and element in data
