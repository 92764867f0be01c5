"""What a field of a site file means, and the value that a site has for it, with the file and line of it.

The fields of the other files that people write are explained by the same words (``FILES``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from components.host.spec import HardwareProfile
from components.inference.triton.spec import ModelCatalogue
from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError
from edge.run.selection import selected
from sitefile.fields import Field, Fields, Kind
from sitefile.problems import DataPath, FileError, Position, any_of, dotted, shown
from sitefile.spec_shape import SpecShape
from sitefile.yaml_tree import MappingNode, ScalarNode, find
from stacks.catalogue import (
    Accelerators,
    GroupProfile,
    TierProfile,
    accelerators_file,
    catalogue,
    group_file,
    profile_file,
)
from stacks.fleet.spec import FleetSpec
from stacks.loader import site_checker, site_shape
from stacks.project import shown as shown_path

_SUGGESTED = 8


@dataclass(frozen=True)
class Value:
    """A value of a site: what it is, and where it was written; nowhere for the program's own default."""

    path: DataPath
    value: Any
    position: Position | None
    overridden: tuple[tuple[Any, Position], ...] = ()
    """What the layers below have for it, the nearest first."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "path": dotted(self.path),
            "value": self.value,
            "from": _place(self.position) if self.position else None,
            "overridden": [{"value": value, "from": _place(at)} for value, at in self.overridden],
        }


def _place(at: Position) -> dict[str, Any]:
    return {"file": at.file.as_posix(), "line": at.line, "column": at.column}


@dataclass(frozen=True)
class Choice:
    """A name that a field may hold in this project, and the file that describes it."""

    name: str
    file: str
    about: str

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "file": self.file, "description": self.about}


def site_fields() -> Fields:
    """The fields of a site file."""
    return fields_of(SITE)


def _waivers() -> SpecShape:
    # Only where they are asked for: a site is explained without the policies.
    from policies.company_waivers import CompanyWaiversSpec

    return SpecShape(CompanyWaiversSpec)


def _settings() -> SpecShape:
    from policies.settings import file_schema, policies_in

    return SpecShape({**file_schema(), "properties": policies_in()})


SITE = "site"
FILES: Mapping[str, tuple[str, Callable[[], SpecShape]]] = {
    SITE: ("Site file", site_shape),
    "fleet": ("Fleet file", lambda: SpecShape(FleetSpec)),
    "group": ("File of a group", lambda: SpecShape(GroupProfile)),
    "tier": ("File of a tier", lambda: SpecShape(TierProfile)),
    "hardware": ("Hardware profile", lambda: SpecShape(HardwareProfile)),
    "accelerators": ("Accelerators", lambda: SpecShape(Accelerators)),
    "models": ("Models", lambda: SpecShape(ModelCatalogue)),
    "policies": ("Settings of the policies", _settings),
    "waivers": ("Waivers of the company", _waivers),
}
"""The files that have fields of their own, by the word that `--in` takes: title and form. Files of defaults have the
fields of a site.
"""


@cache
def fields_of(file: str) -> Fields:
    """The fields of one of ``FILES``."""
    return Fields(FILES[file][1]())


def explained(name: str, file: str = SITE) -> tuple[Field, ...]:
    """The fields of ``file`` that ``name`` means; the whole file for no name.

    Raises ``OperationError`` for a name or a file that is none.
    """
    if file not in FILES:
        meant = any_of(tuple(FILES))
        raise OperationError(f"--in {shown(file)}: there is no such file; expected {meant}.", code=BAD_INPUT)
    fields = fields_of(file)
    if found := fields.named(name):
        return found
    near = fields.near(name)[:_SUGGESTED]
    what = f"There is no field {shown(name)}" + (f": did you mean {any_of(near)}?" if near else ".")
    above = next((at for at in _above(name) if fields.named(at)), "")
    again = " ".join(filter(None, ("edge explain", above, "" if file == SITE else f"--in {file}")))
    raise OperationError(what, (f"{again}     lists what there is",), code=BAD_INPUT)


def values_at(field: Field, site: str, root: Path) -> list[Value]:
    """Every single value that ``site`` has for a field or below it. Raises ``FileError`` for a site with errors."""
    (file,) = _one(site, root)
    checked = site_checker(root, file.parent).check(file)
    if checked.model is None or checked.tree is None:
        raise FileError(checked.problems)
    data = checked.model.model_dump(mode="json")
    return [
        Value(path, value, _written(checked.tree, path), tuple(_overridden(checked.tree, path)))
        for at, found in _places(data, field.keys, field.chosen)
        for path, value in _leaves(found, at)
    ]


def choices(field: Field, root: Path) -> list[Choice]:
    """What the project describes for a field that names a group, a tier, a kind of host or an accelerator."""
    data = catalogue(root)
    if field.path == "groups":
        groups = data.groups.items()
        return [Choice(name, shown_path(group_file(name, root), root), one.description) for name, one in groups]
    if field.path == "tier":
        tiers = data.tiers.items()
        return [Choice(name, _profile(name, root, "tiers"), one.description) for name, one in tiers]
    if field.path == "hosts.hardware":
        boxes = sorted(data.hardware.items())
        return [Choice(name, _profile(name, root), f"{one.vendor} {one.model}") for name, one in boxes]
    if field.path == "hosts.accelerators":
        devices = sorted(data.accelerators.items())
        return [Choice(name, shown_path(accelerators_file(name, root), root), one.kind) for name, one in devices]
    return []


def _profile(name: str, root: Path, kind: str = "hardware") -> str:
    return shown_path(profile_file(name, root, kind), root)


def _one(site: str, root: Path) -> list[Path]:
    files = selected([site], root)
    if len(files) != 1:
        raise OperationError(f"--site takes one site, and {shown(site)} are {len(files)}.", code=BAD_INPUT)
    return files


def _above(name: str) -> Iterator[str]:
    """The names of what is around a field, the nearest first."""
    while name:
        name = name.rpartition(".")[0]
        yield name


def _places(
    value: Any, keys: tuple[str, ...], chosen: tuple[Kind, ...], at: DataPath = (), depth: int = 0
) -> Iterator[tuple[DataPath, Any]]:
    """Where a field is in a site: once for each entry of the lists, and each name of the mappings, on the way."""
    if isinstance(value, list) and depth < len(keys) + _is_kind(keys, chosen, depth):
        for index, item in enumerate(value):
            yield from _places(item, keys, chosen, (*at, index), depth)
        return
    if isinstance(value, Mapping):
        kinds = [kind for kind in chosen if len(kind.keys) == depth]
        if any(value.get(kind.by) != kind.name for kind in kinds):
            return
    if depth == len(keys):
        yield at, value
    elif isinstance(value, Mapping) and keys[depth] in value:
        yield from _places(value[keys[depth]], keys, chosen, (*at, keys[depth]), depth + 1)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(item, Mapping) and keys[depth] in item:
                yield from _places(item, keys, chosen, (*at, name), depth)


def _is_kind(keys: tuple[str, ...], chosen: tuple[Kind, ...], depth: int) -> bool:
    """Whether the field is a kind of the block at ``depth``: of a list, only the entries of that kind are meant."""
    return depth == len(keys) and any(len(kind.keys) == depth for kind in chosen)


def _leaves(value: Any, at: DataPath) -> Iterator[tuple[DataPath, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, (*at, str(key)))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, (*at, index))
    else:
        yield at, value


def _written(tree: MappingNode, path: DataPath) -> Position | None:
    node = find(tree, path)
    return node.position if node is not None else None


def _overridden(tree: MappingNode, path: DataPath) -> Iterator[tuple[Any, Position]]:
    node = find(tree, path)
    while isinstance(node, ScalarNode) and node.replaces is not None:
        node = node.replaces
        yield node.value, node.position
