"""What remains of a site when its faults are set aside, so that the rules between fields can speak in the same run.

Owns the stand-ins for what is missing or wrong. What it makes is for looking at only: it never leaves the loader as a
site. Says nothing itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from sitefile.problems import DataPath, near_miss
from sitefile.spec_shape import Location, SpecShape, valid_keys
from sitefile.yaml_tree import MappingNode

Model = TypeVar("Model", bound=BaseModel)
ROUNDS = 24
_GONE = object()
_TRUE = {"yes", "on", "true", "y"}
_FALSE = {"no", "off", "false", "n"}


@dataclass(frozen=True)
class Remainder(Generic[Model]):
    """A model with stand-ins in it; none when too much would have to go."""

    model: Model | None
    stand_ins: frozenset[str]
    """Values that nobody wrote: a finding that names one of them says nothing about the file."""
    touched: frozenset[DataPath]
    further: tuple[Mapping[str, Any], ...]
    """Errors that only show once others are out of the way, such as those in a block whose kind was misspelt."""

    def vouches_for(self, path: DataPath, text: str) -> bool:
        """Whether a finding at ``path`` is about what the file says rather than about a stand-in."""
        if _within(path, self.touched):
            return False
        return not any(value in text for value in self.stand_ins)


@dataclass
class _Patch:
    data: Any
    tried: dict[DataPath, Iterator[Any]] = field(default_factory=dict)
    stand_ins: set[str] = field(default_factory=set)
    touched: set[DataPath] = field(default_factory=set)
    serial: int = 0
    guessed: bool = False
    """A choice was made that the file gives no hint of: what the rules would say is about another site."""
    spare: Collection[str] = ()

    def guess(self, path: DataPath) -> None:
        """Note that what stands at ``path`` is made up; of a spare section nothing else is touched by that."""
        if path[0] in self.spare:
            self.touched.add(path[:1])
        else:
            self.guessed = True

    def leave_out(self, path: DataPath) -> bool:
        if not path or path[0] not in self.spare:
            return False
        self.data.pop(path[0], None)
        self.touched.add(path[:1])
        return True


def remainder(
    model: type[Model],
    data: Any,
    errors: Sequence[Mapping[str, Any]],
    tree: MappingNode,
    shape: SpecShape,
    spare: Collection[str] = (),
) -> Remainder[Model]:
    """The model with each fault replaced or set aside. A section of ``spare`` that cannot be mended is left out."""
    patch = _Patch(copy.deepcopy(data), spare=spare)
    further: list[Mapping[str, Any]] = []
    mended: Model | None = None
    for _ in range(ROUNDS):
        if not all(
            _mend(patch, error, at, shape) or patch.leave_out(at.path) for error, at in shape.locate_all(errors, tree)
        ):
            break
        try:
            mended = model.model_validate_json(json.dumps(patch.data), strict=True)
            break
        except ValidationError as again:
            errors = again.errors(include_url=False)
            further += [error for error in errors if _is_news(error, shape.locate(error["loc"], tree), patch)]
    return Remainder(
        None if patch.guessed else mended, frozenset(patch.stand_ins), frozenset(patch.touched), tuple(further)
    )


def _is_news(error: Mapping[str, Any], at: Location, patch: _Patch) -> bool:
    """Whether the file itself is at fault, not what was done to it here.

    What is missing in a block whose kind was misspelt may be what the layers have for that kind.
    """
    mended_here = _within(at.path, patch.touched) or any(path[: len(at.path)] == at.path for path in patch.touched)
    return error["type"] != "missing" and not mended_here


def _within(path: DataPath, others: Collection[DataPath]) -> bool:
    return any(path[: len(other)] == other for other in others)


def _mend(patch: _Patch, error: Mapping[str, Any], at: Location, shape: SpecShape) -> bool:
    if not at.path:
        return False
    parent = _parent(patch.data, at.path)
    if parent is _GONE:
        return True
    last: Any = at.path[-1]
    if error["type"] == "extra_forbidden":
        _rename(patch, parent, last, at)
        return True
    if at.is_key:
        parent.pop(last, None)
        patch.touched.add(at.path)
        return True
    if error["type"].startswith("union_tag") and isinstance(parent[last], dict):
        tag, tags = shape.tags(at.schema)
        written = parent[last].get(tag)
        near = near_miss(written, tags) if isinstance(written, str) else None
        if near:
            parent[last][tag] = near
            patch.touched.add((*at.path, tag))
            return True
    if at.path not in patch.tried:
        patch.serial += 1
        patch.tried[at.path] = _stand_ins(patch, error, at, shape)
    patch.touched.add(at.path)
    value = next(patch.tried[at.path], _GONE)
    if value is _GONE:
        return _remove(parent, last, at.path)
    if isinstance(value, str) and not shape.choices(at.schema):
        patch.stand_ins.add(value)
    parent[last] = value
    return True


def _rename(patch: _Patch, parent: Any, key: Any, at: Location) -> None:
    value = parent.pop(key, None)
    near = near_miss(key, [valid for valid in valid_keys(at.parent_schema) if valid not in parent])
    patch.touched.add(at.path)
    if near:
        parent[near] = value
        patch.touched.add((*at.path[:-1], near))


def _remove(parent: Any, key: Any, path: DataPath) -> bool:
    """Without an entry of a list, or a whole section, the rules would judge another site."""
    if isinstance(key, int) or len(path) == 1 or key not in parent:
        return False
    del parent[key]
    return True


def _parent(data: Any, path: DataPath) -> Any:
    for element in path[:-1]:
        try:
            data = data[element]
        except (KeyError, IndexError, TypeError):
            return _GONE
    reachable = (isinstance(data, dict) and isinstance(path[-1], str)) or (
        isinstance(data, list) and isinstance(path[-1], int) and path[-1] < len(data)
    )
    return data if reachable else _GONE


def _stand_ins(patch: _Patch, error: Mapping[str, Any], at: Location, shape: SpecShape) -> Iterator[Any]:
    """Values to try, the likeliest first; each is one that nobody writes, or what was probably meant."""
    kinds = {option.get("type") for option in shape.alternatives(at.schema)[0]}
    written = str(error.get("input", "")) if error["type"] != "missing" else ""
    choices = shape.choices(at.schema)
    tag, tags = shape.tags(at.schema)
    if choices or tags:
        if near := near_miss(written, choices):
            yield near
        patch.guess(at.path)
        yield from choices
        yield from ({tag: kind} for kind in tags)
    if "boolean" in kinds:
        if written.lower() not in _TRUE | _FALSE:
            patch.guess(at.path)
        yield written.lower() in _TRUE
    if "string" in kinds or kinds == {None}:
        yield from _texts(patch.serial)
    if kinds & {"integer", "number"}:
        bounds = [bound for bound in (error.get("ctx") or {}).values() if isinstance(bound, int | float)]
        yield from (*bounds, at.schema.get("minimum", 1), 1, 100, 0.5)
    if "object" in kinds:
        # A block whose keys contradict each other may be sound without those that it need not have.
        parent, last = _parent(patch.data, at.path), at.path[-1]
        block = parent.get(last) if isinstance(parent, dict) else parent[last]
        if isinstance(block, dict):
            yield {key: block[key] for key in at.schema.get("required", ()) if key in block}
        yield {}
    if "array" in kinds:
        yield []


def _texts(serial: int) -> Iterator[str]:
    """From ranges and names that are reserved for documentation, so that none can clash with a site's own."""
    yield f"stand-in-{serial}"
    yield f"192.0.2.{serial % 250 + 1}"
    yield f"198.18.{serial % 250}.0/24"
    yield f"https://stand-in-{serial}.invalid"
    yield f"v1.99.{serial}+k3s99"
    yield f"99.0.{serial}"
    yield f"{serial:064x}"
    yield f"ssh-ed25519 AAAAstandin{serial:04d}"
    yield f"stand-in-{serial}.invalid/image@sha256:{serial:064x}"
    yield f"sha256:{serial:064x}"
    yield "Sun 03:33"
    yield f"ssh://git@stand-in-{serial}.invalid/repository.git"
    yield f"oci://stand-in-{serial}.invalid/repository"
    yield f"./stand-in-{serial}"
    yield f"tag:stand-in-{serial}"
    yield f"00000000-0000-4000-8000-{serial:012x}"
    yield f"standin{serial}"
