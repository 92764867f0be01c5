"""What a site file leaves out: the defaults of all sites, then those of its tier.

Owns the merge (defaults < tier profile < site). Every value keeps the place where it was written, so that a fault in a
default is reported in the defaults' own file. Validates nothing but the layout of the layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sitefile.problems import Place, Problem, any_of, near_miss, shown
from sitefile.yaml_source import Source, read
from sitefile.yaml_tree import MappingNode, Node, ScalarNode, find

SECTIONS = ("always", "when_present", "when_kind")
_NOWHERE = Place(Path(), 1, 1)


@dataclass(frozen=True)
class Layer:
    """One file of defaults.

    ``always`` lies under every site. ``when_present`` holds what is added below keys that the site itself has; a key of
    it may be a path (`inference.triton`). ``when_kind`` holds, by key and kind, what is added to a block of that kind.
    """

    always: MappingNode
    when_present: Mapping[tuple[str, ...], Node]
    when_kind: Mapping[tuple[str, ...], Mapping[str, Node]]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Layers:
    """All files of defaults of a project, read once."""

    defaults: Layer
    tiers: Mapping[str, Layer]
    sources: Mapping[Path, Source]
    """The files as read, for excerpts."""

    @property
    def problems(self) -> list[Problem]:
        return [p for layer in (self.defaults, *self.tiers.values()) for p in layer.problems]

    def under(self, site: MappingNode) -> MappingNode:
        """The site with everything filled in that it leaves out."""
        base = self.defaults.always
        tier = site.entries.get("tier") or base.entries.get("tier")
        profile = self.tiers.get(str(tier.value)) if isinstance(tier, ScalarNode) else None
        layers = (self.defaults, profile) if profile else (self.defaults,)
        merged = _empty()
        for layer in layers:
            merged = _merge_keys(merged, layer.always)
        shape = _merge_keys(merged, site)
        for layer in layers:
            for below in _conditional(layer, site, shape):
                merged = _merge_keys(merged, below)
        return _merge_keys(merged, site)


def read_layers(defaults: Path, tiers: Path, shown_as: Path) -> Layers:
    """Read the layers; ``shown_as`` is the folder that file names in messages are relative to."""
    sources: dict[Path, Source] = {}

    def source_of(path: Path) -> Source:
        name = path.relative_to(shown_as) if path.is_relative_to(shown_as) else path
        sources[name] = read(path, shown_as=name, within=path.parent)
        return sources[name]

    base = _layer(source_of(defaults)) if defaults.exists() else Layer(_empty(), {}, {})
    return Layers(base, {path.stem: _profile(source_of(path)) for path in sorted(tiers.glob("*.yaml"))}, sources)


def merge(under: Node, over: Node) -> Node:
    """``over`` on ``under``: mappings key by key, anything else replaced; blocks of different ``kind`` are not mixed.

    An explicit null in ``over`` wins as well. Where the model knows no null, whoever checks it then drops the key.
    """
    if not isinstance(under, MappingNode) or not isinstance(over, MappingNode) or _kinds_differ(under, over):
        return over
    return _merge_keys(under, over)


def _merge_keys(under: MappingNode, over: MappingNode) -> MappingNode:
    entries = dict(under.entries)
    keys = dict(under.keys)
    for key, value in over.entries.items():
        if key in entries and isinstance(value, ScalarNode) and value.value is None:
            value = ScalarNode(None, value.place, value.text, removes=True)
        entries[key] = merge(entries[key], value) if key in entries else value
        keys[key] = over.keys[key]
    return MappingNode(entries, keys, over.place, under.incomplete or over.incomplete)


def _conditional(layer: Layer, site: MappingNode, shape: Node) -> Iterator[MappingNode]:
    for path, node in layer.when_present.items():
        own = find(site, path)
        if own is not None and not (isinstance(own, ScalarNode) and own.value is None):
            yield _nested(path, node)
    for path, kinds in layer.when_kind.items():
        block = find(shape, path)
        kind = block.entries.get("kind") if isinstance(block, MappingNode) else None
        if isinstance(kind, ScalarNode) and isinstance(kind.value, str) and kind.value in kinds:
            yield _nested(path, kinds[kind.value])


def _nested(path: tuple[str, ...], node: Node) -> MappingNode:
    for key in reversed(path):
        node = MappingNode({key: node}, {key: node.place}, node.place)
    assert isinstance(node, MappingNode)
    return node


def _kinds_differ(under: MappingNode, over: MappingNode) -> bool:
    one, other = under.entries.get("kind"), over.entries.get("kind")
    return isinstance(one, ScalarNode) and isinstance(other, ScalarNode) and one.value != other.value


def _empty() -> MappingNode:
    return MappingNode({}, {}, _NOWHERE)


def _profile(source: Source) -> Layer:
    """A tier profile: data about the tier, and its defaults under ``defaults``."""
    section = source.tree.entries.get("defaults") if source.tree is not None else None
    if section is None or (isinstance(section, ScalarNode) and section.value is None):
        return Layer(_empty(), {}, {}, tuple(source.problems))
    if not isinstance(section, MappingNode):
        return Layer(_empty(), {}, {}, (*source.problems, _no_mapping(section, "defaults")))
    if section.entries.keys() & set(SECTIONS):
        return _sections(section, source.problems)
    return Layer(section, {}, {}, tuple(source.problems))


def _layer(source: Source) -> Layer:
    return _sections(source.tree or _empty(), source.problems)


def _sections(tree: MappingNode, problems: list[Problem]) -> Layer:
    found = list(problems)
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
                    "values for every site belong below `always`",
                )
            )
        elif isinstance(node, MappingNode):
            sections[key] = node
        elif not isinstance(node, ScalarNode) or node.value is not None:
            found.append(_no_mapping(node, key))
    kinds: dict[tuple[str, ...], Mapping[str, Node]] = {}
    for key, node in sections.get("when_kind", _empty()).entries.items():
        if isinstance(node, MappingNode):
            kinds[tuple(key.split("."))] = node.entries
        else:
            found.append(_no_mapping(node, key))
    present = sections.get("when_present", _empty()).entries
    return Layer(
        sections.get("always", _empty()),
        {tuple(key.split(".")): node for key, node in present.items()},
        kinds,
        tuple(found),
    )


def _no_mapping(node: Node, name: str) -> Problem:
    return Problem.at(
        node.place,
        "wrong-type",
        f"{shown(name)} is not a mapping",
        "keys and values",
        f"write what belongs to {shown(name)} below it, indented",
    )
