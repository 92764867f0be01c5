"""Defaults that a file leaves out: those of all files, then those that one of its keys selects.

Owns the merge (defaults < selected layers < file). Every value keeps the position where it was written, so that a fault
in a default is reported in the defaults' own file. Validates nothing but the layout of the layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sitefile.problems import Position, Problem, any_of, near_miss, shown
from sitefile.yaml_source import Source, read
from sitefile.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode, find

SECTIONS = ("always", "when_present", "when_kind")
KIND = "kind"
"""The key that tells the alternatives of a block apart."""
_NOWHERE = Position(Path(), 1, 1)

KeyPath = tuple[str, ...]


def _empty() -> MappingNode:
    return MappingNode({}, {}, _NOWHERE)


@dataclass(frozen=True)
class Layer:
    """One file of defaults. A key of ``when_present`` and ``when_kind`` may be a path, such as `parent.child`."""

    always: MappingNode = field(default_factory=_empty)
    """Applies to every file."""
    when_present: Mapping[KeyPath, Node] = field(default_factory=dict)
    """Is added below keys that the file itself has."""
    when_kind: Mapping[KeyPath, Mapping[str, Node]] = field(default_factory=dict)
    """Is added, by key and kind, to a block of that kind, or to each entry of that kind if the key holds a list."""
    problems: tuple[Problem, ...] = ()
    file: Path | None = None
    """Where it stands; None for no layer at all."""
    positions: Mapping[KeyPath, Position] = field(default_factory=dict)
    """Where the keys of ``when_present`` are written; for ``when_kind``, by key and kind together."""


@dataclass(frozen=True)
class Layers:
    """All files of defaults, read once. Without arguments: none."""

    defaults: Layer = Layer()
    selected: Mapping[str, Mapping[str, Layer]] = field(default_factory=dict)
    """Key of the file -> value of that key -> the layer that it selects. A later key overrides an earlier one."""
    sources: Mapping[Path, Source] = field(default_factory=dict)
    """The files as read, for excerpts."""

    @property
    def all(self) -> list[Layer]:
        return [self.defaults, *(layer for layers in self.selected.values() for layer in layers.values())]

    def under(self, file: MappingNode) -> MappingNode:
        """The file with everything filled in that it leaves out."""
        layers = self.of(file)
        merged = _empty()
        for layer in layers:
            merged = _merge_keys(merged, layer.always)
        shape = _merge_keys(merged, file)
        for layer in layers:
            for below in _conditional(layer, file, shape):
                merged = _merge_keys(merged, below)
        merged = _merge_keys(merged, file)
        for layer in reversed(layers):
            for path, kinds in layer.when_kind.items():
                merged = _fill_entries(merged, path, kinds)
        return merged

    def of(self, file: MappingNode) -> list[Layer]:
        """The layers that apply to a file."""
        return [self.defaults, *self._chosen_by(file)]

    def _chosen_by(self, file: MappingNode) -> Iterator[Layer]:
        for key, layers in self.selected.items():
            value = file.entries.get(key) or self.defaults.always.entries.get(key)
            if isinstance(value, ScalarNode) and str(value.value) in layers:
                yield layers[str(value.value)]


def read_layers(defaults: Path, shown_as: Path, selected: Mapping[str, Path] | None = None) -> Layers:
    """Read the layers.

    ``selected`` maps a key to the folder that has one layer for each of its values, in ``<value>.yaml``. File names in
    messages are relative to the folder ``shown_as``.
    """
    sources: dict[Path, Source] = {}

    def source_of(path: Path) -> Source:
        name = path.relative_to(shown_as) if path.is_relative_to(shown_as) else path
        sources[name] = read(path, shown_as=name, within=path.parent)
        return sources[name]

    base = _layer(source_of(defaults)) if defaults.exists() else Layer()
    chosen = {
        key: {path.stem: _selected_layer(source_of(path)) for path in sorted(folder.glob("*.yaml"))}
        for key, folder in (selected or {}).items()
    }
    return Layers(base, chosen, sources)


def merge(under: Node, over: Node) -> Node:
    """``over`` on ``under``: mappings key by key, anything else replaced; blocks of different ``kind`` are not mixed.

    An explicit null in ``over`` wins as well. Where the model does not accept null, the checker then drops the key.
    """
    if not isinstance(under, MappingNode) or not isinstance(over, MappingNode) or _kinds_differ(under, over):
        return over
    return _merge_keys(under, over)


def _merge_keys(under: MappingNode, over: MappingNode) -> MappingNode:
    entries = dict(under.entries)
    keys = dict(under.keys)
    for key, value in over.entries.items():
        if key in entries and isinstance(value, ScalarNode):
            below = entries[key]
            replaced = below if isinstance(below, ScalarNode) and below is not value else value.replaces
            value = replace(value, removes=value.value is None, replaces=replaced)
        entries[key] = merge(entries[key], value) if key in entries else value
        keys[key] = over.keys[key]
    return MappingNode(entries, keys, over.position, under.incomplete or over.incomplete)


def _conditional(layer: Layer, file: MappingNode, shape: Node) -> Iterator[MappingNode]:
    for path, node in layer.when_present.items():
        own = find(file, path)
        if own is not None and not (isinstance(own, ScalarNode) and own.value is None):
            yield nested(path, node)
    for path, kinds in layer.when_kind.items():
        if (filling := _of_kind(find(shape, path), kinds)) is not None:
            yield nested(path, filling)


def _of_kind(block: Node | None, kinds: Mapping[str, Node]) -> Node | None:
    """What there is for the kind of ``block``."""
    kind = block.entries.get(KIND) if isinstance(block, MappingNode) else None
    return kinds.get(kind.value) if isinstance(kind, ScalarNode) and isinstance(kind.value, str) else None


def _fill_entries(tree: MappingNode, path: KeyPath, kinds: Mapping[str, Node]) -> MappingNode:
    """``tree`` with each entry of the list at ``path`` on what there is for its kind."""
    key, rest = path[0], path[1:]
    node = tree.entries.get(key)
    if rest and isinstance(node, MappingNode):
        below: Node = _fill_entries(node, rest, kinds)
    elif not rest and isinstance(node, SequenceNode):
        fillings = [(_of_kind(item, kinds), item) for item in node.items]
        below = replace(node, items=[item if filling is None else merge(filling, item) for filling, item in fillings])
    else:
        return tree
    return replace(tree, entries={**tree.entries, key: below})


def nested(path: KeyPath, node: Node, position: Position | None = None) -> MappingNode:
    """A file that holds ``node`` at ``path`` and nothing else. ``position`` is where the path is written."""
    for key in reversed(path):
        node = MappingNode({key: node}, {key: position or node.position}, node.position)
    assert isinstance(node, MappingNode)
    return node


def _kinds_differ(under: MappingNode, over: MappingNode) -> bool:
    one, other = under.entries.get(KIND), over.entries.get(KIND)
    return isinstance(one, ScalarNode) and isinstance(other, ScalarNode) and one.value != other.value


def _selected_layer(source: Source) -> Layer:
    """Defaults under the key ``defaults``; what else the file holds is not for layers."""
    section = source.tree.entries.get("defaults") if source.tree is not None else None
    if section is None or (isinstance(section, ScalarNode) and section.value is None):
        return Layer(problems=tuple(source.problems), file=source.file)
    if not isinstance(section, MappingNode):
        return Layer(problems=(*source.problems, _no_mapping(section, "defaults")), file=source.file)
    if section.entries.keys() & set(SECTIONS):
        return _sections(section, source)
    return Layer(section, problems=tuple(source.problems), file=source.file)


def _layer(source: Source) -> Layer:
    return _sections(source.tree or _empty(), source)


def _sections(tree: MappingNode, source: Source) -> Layer:
    found = list(source.problems)
    sections: dict[str, MappingNode] = {}
    for key, node in tree.entries.items():
        if key not in SECTIONS:
            near = near_miss(key, SECTIONS)
            found.append(
                Problem.at(
                    tree.keys[key],
                    "unknown-key",
                    f"unknown section {shown(key)}" + (f": did you mean `{near}`?" if near else ""),
                    f"one of the sections {any_of(SECTIONS)}",
                    "write values that apply to every file below `always`",
                )
            )
        elif isinstance(node, MappingNode):
            sections[key] = node
        elif not isinstance(node, ScalarNode) or node.value is not None:
            found.append(_no_mapping(node, key))
    positions = {tuple(key.split(".")): at for key, at in sections.get("when_present", _empty()).keys.items()}
    kinds: dict[KeyPath, Mapping[str, Node]] = {}
    for key, node in sections.get("when_kind", _empty()).entries.items():
        if isinstance(node, MappingNode):
            kinds[tuple(key.split("."))] = node.entries
            positions |= {(*key.split("."), kind): at for kind, at in node.keys.items()}
        else:
            found.append(_no_mapping(node, key))
    present = sections.get("when_present", _empty()).entries
    return Layer(
        sections.get("always", _empty()),
        {tuple(key.split(".")): node for key, node in present.items()},
        kinds,
        tuple(found),
        source.file,
        positions,
    )


def _no_mapping(node: Node, name: str) -> Problem:
    return Problem.at(
        node.position,
        "wrong-type",
        f"{shown(name)} is not a mapping",
        "keys and values",
        f"write what belongs to {shown(name)} below it, indented",
    )
