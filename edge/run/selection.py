"""The site files that the arguments of a command select: by id, glob, path or folder, and by what the sites say.

Reads files and nothing else. A selector compares with what a site file says together with its defaults, whether the
file is valid or not. A file that does not tell is selected: its command then says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError
from sitefile.layers import Layers
from sitefile.problems import any_of, near_miss, shown
from sitefile.yaml_source import read
from sitefile.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode
from stacks.fleet.load import STACK as FLEET
from stacks.loader import is_path, site_files, site_layers
from stacks.project import fleet_file, sites_folder
from stacks.project import shown as from_root

_FIELDS = ("tier", "region")
_LABELS = "labels"
_GROUPS, _GROUP = "groups", "group"
_GLOB = frozenset("*?[")
_LISTED = 12
"""Up to this many names or values are listed in a message."""


@dataclass(frozen=True)
class Selection:
    """What a person asked for. Without names and terms: all sites."""

    names: tuple[str, ...] = ()
    selectors: tuple[str, ...] = ()
    """As written after `-l`: terms with commas between them."""
    everything: bool = False
    """`--all`, which says what no name and no selector mean too."""
    changed_since: str | None = None
    """A Git revision: only sites whose plan has changed since then."""

    def __post_init__(self) -> None:
        if self.everything and self.names:
            raise OperationError(
                f"--all means every site, and {self.names[0]} is named too.",
                ("leave one of the two out; `-l` narrows --all",),
                code=BAD_INPUT,
            )

    @property
    def nothing(self) -> bool:
        """Whether nothing was asked for at all."""
        return not (self.names or self.narrowed or self.everything)

    @property
    def narrowed(self) -> bool:
        """Whether less is meant than what is named."""
        return bool(self.selectors) or self.changed_since is not None

    @property
    def single(self) -> str | None:
        """The one site that is named as itself, as it is written; None for what can be several."""
        if len(self.names) != 1 or self.narrowed:
            return None
        (name,) = self.names
        several = is_glob(name) or (is_path(name) and Path(name).is_dir())
        return None if several else name

    def files(self, root: Path) -> list[Path]:
        """The site files, in their order. What has not changed is left out by ``changed_since``, not here.

        Raises ``OperationError`` (bad input) where nothing is selected: nothing is not all that there is.
        """
        return fitting(selected(self.names, root), self.selectors, root)

    def __str__(self) -> str:
        """As it is written on the command line."""
        words = [*self.names, *(f"-l {one}" for one in self.selectors), *(["--all"] if self.everything else [])]
        words += [f"--changed-since {self.changed_since}"] if self.changed_since is not None else []
        return " ".join(words)


@dataclass(frozen=True)
class Term:
    """One condition of a selector."""

    key: str
    pattern: str

    def __str__(self) -> str:
        return f"{self.key}={self.pattern}"


def is_fleet(file: Path, root: Path) -> bool:
    return file.resolve() == fleet_file(root).resolve()


def selected_with_fleet(names: Sequence[str], root: Path) -> list[Path]:
    """As ``selected``, and the fleet file, where it is named or everything is meant."""
    if not names:
        fleet = fleet_file(root)
        return [*selected([], root), *([fleet] if fleet.is_file() else [])]
    sites = [name for name in names if name != FLEET]
    files = selected(sites, root) if sites else []
    return [*files, fleet_file(root)] if FLEET in names else files


def selected(names: Sequence[str], root: Path) -> list[Path]:
    """The site files of ``names``, in their order, each once; all sites of the project when there are no names.

    Raises ``OperationError`` (bad input) for a name that is neither a site nor a path.
    """
    files: dict[Path, None] = {}
    for name in names:
        files.update(dict.fromkeys(_files_of(name, root)))
    if not names:
        files = dict.fromkeys(site_files(root))
        if not files:
            where = from_root(sites_folder(root), root)
            what, remedy = f"There is no site in {where}.", "edge new SITE --from PROFILE     makes one"
            raise OperationError(what, (remedy,), code=BAD_INPUT)
    return list(files)


def _files_of(name: str, root: Path) -> list[Path]:
    own = {file.stem: file for file in site_files(root)}
    # A site id comes before a folder of the same name (`lab`); a slash makes it a path.
    if name in own:
        return [own[name]]
    if is_glob(name):
        if found := [file for stem, file in own.items() if fnmatchcase(stem, name)]:
            return found
        raise OperationError(f"No site is named like {shown(name)}.", _known(own), code=BAD_INPUT)
    path = Path(name)
    if path.is_dir():
        files = site_files(root, folder=path)
        if not files:
            raise OperationError(f"There is no site file in {name}.", ("site files end in .yaml",), code=BAD_INPUT)
        return files
    if is_path(name):
        if not path.is_file():
            raise OperationError(f"There is no file {name}.", code=BAD_INPUT)
        return [path]
    near = near_miss(name, own)
    what = f"There is no site {shown(name)}" + (f": did you mean `{near}`?" if near else ".")
    raise OperationError(what, _known(own), code=BAD_INPUT)


def _known(own: Iterable[str]) -> tuple[str, ...]:
    names = list(own)
    listed = 0 < len(names) <= _LISTED
    return (f"the sites are {any_of(names)}",) if listed else ("edge check     lists all sites",)


def is_glob(name: str) -> bool:
    """Whether ``name`` is a pattern of site ids. A path is none: the shell has filled in what it matches."""
    return not is_path(name) and not _GLOB.isdisjoint(name)


def terms(selectors: Sequence[str]) -> list[Term]:
    """The terms of all selectors. Raises ``OperationError`` (bad input) for what is no term."""
    found = []
    for written in (one.strip() for selector in selectors for one in selector.split(",")):
        key, equals, pattern = written.partition("=")
        if not (key.strip() and equals and pattern.strip()) or key.endswith("!") or pattern.startswith("="):
            raise OperationError(
                f"-l {shown(written)} is no term of a selector.",
                ("-l tier=near,region=eu-*     KEY=VALUE with commas between; all must fit, and `*` fits anything",),
                code=BAD_INPUT,
            )
        found.append(Term(key.strip(), pattern.strip()))
    return found


def fitting(files: Sequence[Path], selectors: Sequence[str], root: Path) -> list[Path]:
    """Those of ``files`` that fit all terms.

    A value may be a glob. Raises ``OperationError`` (bad input) for a key that no site has, and where no site fits.
    """
    wanted = terms(selectors)
    if not wanted:
        return list(files)
    layers = {folder: site_layers(root, folder) for folder in {file.parent for file in files}}
    facts = {file: facts_of(file, layers[file.parent]) for file in files}
    known = sorted({*_FIELDS, *(key for found in facts.values() for key in found)})
    for term in wanted:
        if term.key not in known:
            near = near_miss(term.key, known)
            what = f"-l {term}: no site has the label {shown(term.key)}"
            what += f": did you mean `{near}`?" if near else "."
            raise OperationError(what, (f"the keys are {any_of(known)}",), code=BAD_INPUT)
    found = [file for file in files if all(_fits(term, facts[file]) for term in wanted)]
    if not found:
        said = [f"{key} is {_values(key, facts.values())}" for key in dict.fromkeys(term.key for term in wanted)]
        raise OperationError(f"No site fits -l {','.join(map(str, wanted))}.", said, code=BAD_INPUT)
    return found


Facts = Mapping[str, Sequence[str] | None]
"""By key, the values of which one has to fit. None: the file does not tell."""


def facts_of(file: Path, layers: Layers) -> Facts:
    """What a selector may ask of a site: its tier, its region, its groups, its labels."""
    unknown: dict[str, Sequence[str] | None] = dict.fromkeys(_FIELDS)
    tree = read(file, within=file.parent).tree
    if tree is None:
        return unknown
    entries = layers.under(tree).entries
    fields = {key: (said,) for key in _FIELDS if (said := _text(entries.get(key))) is not None}
    labels, groups = entries.get(_LABELS), entries.get(_GROUPS)
    named = labels.entries.items() if isinstance(labels, MappingNode) else ()
    facts = {key: (said,) for key, node in named if (said := _text(node)) is not None}
    listed = groups.items if isinstance(groups, SequenceNode) else ()
    if of := [said for node in listed if (said := _text(node)) is not None]:
        facts[_GROUP] = (*facts.get(_GROUP, ()), *of)
    return {**facts, **unknown, **fields}


def _text(node: Node | None) -> str | None:
    return node.text if isinstance(node, ScalarNode) and node.value is not None else None


def _fits(term: Term, facts: Facts) -> bool:
    if term.key not in facts:
        # A site without the label; or, if it has neither tier nor region, a file that says nothing.
        return all(facts[key] is None for key in _FIELDS)
    values = facts[term.key]
    return values is None or any(fnmatchcase(value, term.pattern) for value in values)


def _values(key: str, facts: Iterable[Facts]) -> str:
    values = sorted({value for found in facts for value in found.get(key) or ()})
    more = f" and {len(values) - _LISTED} more values" if len(values) > _LISTED else ""
    return f"{any_of(values[:_LISTED])}{more}"
