"""Defaults that a file leaves out: those of all files, then those that its keys select.

Owns the merge (common layers < selected layers < file). Every value keeps the position where it was written, so that a
fault in a default is reported in the defaults' own file. Validates nothing but the layout of the layers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
    """Is added below keys that the file has, or that some layer gives to every file."""
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

    common: tuple[Layer, ...] = ()
    """Apply to every file. A later one overrides an earlier one."""
    selected: Mapping[str, Mapping[str, tuple[Layer, ...]]] = field(default_factory=dict)
    """Key of the file -> value of that key, or entry of its list -> the layers that it selects.

    A later layer, entry and key overrides an earlier one.
    """
    sources: Mapping[Path, Source] = field(default_factory=dict)
    """The files as read, for excerpts."""

    @property
    def all(self) -> list[Layer]:
        return [*self.common, *(one for names in self.selected.values() for layers in names.values() for one in layers)]

    def under(self, file: MappingNode) -> MappingNode:
        """The file with everything filled in that it leaves out."""
        layers = self.of(file)
        shape = _empty()
        for layer in layers:
            shape = _merge_keys(shape, layer.always)
        shape = _merge_keys(shape, file)
        merged = _empty()
        for layer in layers:
            for piece in (layer.always, *_conditional(layer, shape)):
                merged = _merge_keys(merged, _of_the_same_kinds(piece, shape))
        merged = _merge_keys(merged, file)
        for layer in reversed(layers):
            for path, kinds in layer.when_kind.items():
                merged = _fill_entries(merged, path, kinds)
        return merged

    def of(self, file: MappingNode) -> list[Layer]:
        """The layers that apply to a file, each over those before it."""
        found = list(self.common)
        for key, layers in self.selected.items():
            # A layer may select those of a later key.
            for name in _names((file, *(layer.always for layer in reversed(found))), key):
                found += layers.get(name, ())
        return found


def _names(trees: Iterable[MappingNode], key: str) -> list[str]:
    """What the first of ``trees`` that has the key says there: one value, or a list of them."""
    node = next((tree.entries[key] for tree in trees if key in tree.entries), None)
    nodes = node.items if isinstance(node, SequenceNode) else [node]
    return [str(one.value) for one in nodes if isinstance(one, ScalarNode) and one.value is not None]


def read_layers(
    common: Sequence[Path],
    shown_as: Path,
    selected: Mapping[str, Sequence[Path]] | None = None,
    only_in_files: Collection[str] = (),
) -> Layers:
    """Read the layers.

    ``common`` are files that may be missing. ``selected`` maps a key to folders with a layer for each of its values, in
    ``<value>.yaml``; of two with one name, that of the later folder is over the other. No layer may hold a key of
    ``only_in_files``, nor one that its own key depends on. File names in messages are relative to the folder
    ``shown_as``.
    """
    sources: dict[Path, Source] = {}

    def source_of(path: Path) -> Source:
        name = path.relative_to(shown_as) if path.is_relative_to(shown_as) else path
        sources[name] = read(path, shown_as=name, within=path.parent)
        return sources[name]

    refused = list(only_in_files)
    base = tuple(_without(refused, _layer(source_of(path))) for path in common if path.exists())
    chosen: dict[str, dict[str, tuple[Layer, ...]]] = {}
    for key, folders in (selected or {}).items():
        refused.append(key)
        names: dict[str, tuple[Layer, ...]] = {}
        for path in (path for folder in folders for path in sorted(folder.glob("*.yaml"))):
            layer = _without(refused, _selected_layer(source_of(path)))
            names[path.stem] = (*names.get(path.stem, ()), layer)
        chosen[key] = names
    return Layers(base, chosen, sources)


def _without(keys: Collection[str], layer: Layer) -> Layer:
    """The layer, with a problem for each of ``keys`` that it holds."""
    written = [(key, at) for key, at in layer.always.keys.items() if key in keys]
    written += [(path[0], at) for path, at in layer.positions.items() if path[0] in keys]
    problems = [
        Problem.at(
            at,
            "misplaced",
            f"{shown(key)} cannot be a default here",
            f"defaults without {shown(key)}",
            f"write {shown(key)} in the files that these defaults are for",
            (key,),
        )
        for key, at in written
    ]
    return replace(layer, problems=(*layer.problems, *problems)) if problems else layer


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


def _of_the_same_kinds(piece: MappingNode, shape: MappingNode) -> MappingNode:
    """What a layer gives, without blocks of another kind than the file has in the end: they are replaced whole."""
    kept: dict[str, Node] = {}
    for key, node in piece.entries.items():
        final = shape.entries.get(key)
        if isinstance(node, MappingNode) and isinstance(final, MappingNode):
            if _kinds_differ(node, final):
                continue
            node = _of_the_same_kinds(node, final)
        kept[key] = node
    return replace(piece, entries=kept)


def _conditional(layer: Layer, shape: MappingNode) -> Iterator[MappingNode]:
    for path, node in layer.when_present.items():
        own = find(shape, path)
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
