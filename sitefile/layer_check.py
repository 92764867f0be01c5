"""Whether what layers fill in fits the model, before any file uses it.

A layer holds parts of a file, so nothing is missing in it; what it does hold must be right. Rules between values wait
for a whole file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from sitefile.explanation import explain
from sitefile.layers import KIND, KeyPath, Layer, nested
from sitefile.problems import Position, Problem
from sitefile.spec_shape import PydanticError, SpecShape
from sitefile.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode, find, plain


def problems_of(layer: Layer, file: Path, model: type[BaseModel], shape: SpecShape) -> Iterator[Problem]:
    """What is wrong with the values of one layer, each once."""
    for piece in _pieces(layer, shape):
        try:
            model.model_validate_json(json.dumps(plain(piece)), strict=True)
        except ValidationError as invalid:
            errors = [error for error in invalid.errors(include_url=False) if _is_certain(error, piece, shape)]
            yield from explain(errors, piece, shape, file)


def _pieces(layer: Layer, shape: SpecShape) -> Iterator[MappingNode]:
    """Files that hold nothing but one piece of the layer."""
    yield layer.always
    for path, node in layer.when_present.items():
        yield nested(path, node, layer.positions.get(path))
    for path, kinds in layer.when_kind.items():
        for kind, node in kinds.items():
            position = layer.positions.get((*path, kind), node.position)
            yield nested(path, _of_kind(path, kind, node, shape, position), position)


def _of_kind(path: KeyPath, kind: str, node: Node, shape: SpecShape, position: Position) -> Node:
    """The block with its kind; in a list, where the key holds one."""
    if isinstance(node, MappingNode):
        tag = ScalarNode(kind, position, kind)
        node = MappingNode({KIND: tag, **node.entries}, {KIND: position, **node.keys}, node.position)
    schema = shape.locate(path, nested(path, node)).schema
    return SequenceNode([node], node.position) if schema.get("type") == "array" else node


def _is_certain(error: PydanticError, piece: MappingNode, shape: SpecShape) -> bool:
    """Whether it is wrong in any file. A block may be completed by the file, and null takes a value away."""
    at = shape.locate(error["loc"], piece)
    kind = str(error["type"])
    if kind in ("missing", "union_tag_not_found"):
        return False
    if kind in ("extra_forbidden", "union_tag_invalid") or kind.endswith("_type") or at.is_key:
        return not (isinstance(at.node, ScalarNode) and at.node.value is None and kind != "extra_forbidden")
    node = find(piece, at.path)
    return isinstance(node, ScalarNode) and node.value is not None
