"""Site files -> ``SiteSpec``s, or everything that is wrong with them.

Owns where site files are, their names, and the binding of the machinery (``checked_file``) to the site's model and
rules. Reads files and nothing else: no configuration, no network.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from sitefile.checked_file import FileChecker
from sitefile.layers import Layers, read_layers
from sitefile.problems import Place, Problem, SiteError, any_of, in_order, near_miss, shown
from sitefile.spec_shape import SpecShape
from sitefile.yaml_tree import MappingNode, ScalarNode
from stacks.catalogue import PROJECT_ROOT
from stacks.rules import site as site_rules
from stacks.rules.between_sites import between_sites
from stacks.site import SiteSpec

__all__ = [
    "PROJECT_ROOT",
    "Problem",
    "SiteError",
    "load_all",
    "load_site",
    "site_checker",
    "site_files",
    "site_layers",
    "site_names",
    "site_shape",
]

DEFAULTS = "_defaults.yaml"
_SPARE = frozenset({"mesh", "gitops", "telemetry", "inference", "uplink", "economics"})
"""Sections that no rule misses: without one, nothing is wrong that was right with it."""


def load_site(name_or_path: str | Path, *, root: Path = PROJECT_ROOT) -> SiteSpec:
    """One site, by its id or by the path of its file.

    Raises ``SiteError`` with all problems of the file. Rules between sites are those of ``load_all``.
    """
    path = _path(name_or_path, root)
    checked = site_checker(root, path.parent).check(path)
    if checked.model is None:
        raise SiteError(checked.problems)
    return checked.model


def load_all(root: Path = PROJECT_ROOT, *, folder: Path | None = None) -> tuple[list[SiteSpec], list[Problem]]:
    """All sites of the project (or of one folder) that are sound, and the problems of the others and between sites."""
    folder = folder or _sites(root)
    checker = site_checker(root, folder)
    files = [checker.check(path) for path in site_files(root, folder=folder)]
    found = list(between_sites(files))
    # Whose id is taken needs another one: that its file is not named after this one is no second fault.
    taken = {problem.place for _, problem in found if problem.code == "duplicate-site"}
    problems = [p for file in files for p in file.problems if p.code != "misnamed" or p.place not in taken]
    problems += _other_suffixes(root, folder)
    for file, between in found:
        problems += checker.finish([between], file)
    # A site that clashes with another one is as unfit to be rolled out as one that is wrong by itself.
    unfit = {id(file) for file, _ in found}
    return [f.model for f in files if f.model is not None and id(f) not in unfit], list(in_order(problems))


def site_files(root: Path = PROJECT_ROOT, *, folder: Path | None = None) -> list[Path]:
    """The site files in the order of their names; names that begin with `_` or `.` are not sites."""
    return [path for path in sorted((folder or _sites(root)).glob("*.yaml")) if path.name[0] not in "_."]


def site_names(root: Path = PROJECT_ROOT) -> list[str]:
    return [path.stem for path in site_files(root)]


@functools.cache
def site_shape() -> SpecShape:
    """The site file's form, derived from the model once."""
    return SpecShape(SiteSpec)


def site_layers(root: Path = PROJECT_ROOT, folder: Path | None = None) -> Layers:
    """What lies under the sites of a folder: its own defaults if it has some, else the project's; and the tiers'."""
    own = (folder or _sites(root)) / DEFAULTS
    return read_layers(own if own.exists() else _sites(root) / DEFAULTS, root / "stacks" / "profiles" / "tiers", root)


def site_checker(root: Path = PROJECT_ROOT, folder: Path | None = None) -> FileChecker[SiteSpec]:
    """The machinery bound to the site's model and rules, over the layers of a folder."""
    return FileChecker(SiteSpec, site_layers(root, folder), root, site_rules.findings, _misnamed, site_shape(), _SPARE)


def _sites(root: Path) -> Path:
    return root / "stacks" / "sites"


def _path(name_or_path: str | Path, root: Path) -> Path:
    if isinstance(name_or_path, Path) or "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    path = _sites(root) / f"{name_or_path}.yaml"
    if path.exists() or path.is_symlink():
        return path
    names = site_names(root)
    near = near_miss(name_or_path, names)
    shown_as = path.relative_to(root) if path.is_relative_to(root) else path
    what = f"there is no site {shown(name_or_path)}" + (f": did you mean `{near}`?" if near else "")
    expected = any_of(names) if 0 < len(names) <= 12 else f"one of the {len(names)} sites in stacks/sites"
    remedy = f"use `{near}`" if near else "check the name, or describe the site in this file"
    raise SiteError([Problem.at(Place(shown_as, 1, 1), "no-file", what, expected, remedy)])


def _misnamed(tree: MappingNode, file: Path) -> Iterator[Problem]:
    site = tree.entries.get("site")
    if not isinstance(site, ScalarNode) or not isinstance(site.value, str) or site.value == file.stem:
        return
    yield Problem.at(
        site.place,
        "misnamed",
        f"the site is {shown(site.value)} but its file is {shown(file.name)}",
        "the site's id as the file's name: stack, site and file are found by one name",
        f"rename the file to `{site.value}.yaml`, or write `site: {file.stem}`",
        ("site",),
    )


def _other_suffixes(root: Path, folder: Path) -> Iterator[Problem]:
    for path in sorted(folder.glob("*.yml")):
        name = path.relative_to(root) if path.is_relative_to(root) else path
        yield Problem.at(
            Place(name, 1, 1),
            "suffix",
            "site files end in `.yaml`; this one would be overlooked",
            f"`{path.stem}.yaml`",
            "rename the file",
        )
