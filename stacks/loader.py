"""Site files -> ``SiteSpec``s, or everything that is wrong with them.

Owns where site files are, their names, and the use of ``sitefile`` with the site's model, layers and rules. Reads files
and nothing else: no configuration, no network.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from components.inference.triton import spec as models
from sitefile.checked_file import FileChecker
from sitefile.layers import Layers, read_layers
from sitefile.problems import FileError, Position, Problem, any_of, in_order, near_miss, shown
from sitefile.spec_shape import SpecShape
from sitefile.yaml_tree import MappingNode, ScalarNode
from stacks.catalogue import PROJECT_ROOT, catalogue, groups_folder, profiles_folders
from stacks.fleet.load import fleet_if_sound
from stacks.plain_secrets import advice
from stacks.project import PROGRAM_ROOT, data_folder, site_file, sites_folder
from stacks.project import shown as from_root
from stacks.rules import inherited, tailnet
from stacks.rules import site as site_rules
from stacks.rules.between_sites import between_sites
from stacks.site import SiteSpec
from stacks.stand_ins import stand_in

DEFAULTS = "_defaults.yaml"
"""A company's own, in the folder of its sites."""
PROGRAM_DEFAULTS = data_folder(PROGRAM_ROOT) / "program_defaults.yaml"
"""The releases that come with this version of the program."""


def load_site(name_or_path: str | Path, *, root: Path = PROJECT_ROOT) -> SiteSpec:
    """One site, by its id or by the path of its file.

    Raises ``FileError`` with all problems of the file. Rules between sites are checked by ``load_all``.
    """
    path = _path(name_or_path, root)
    checked = site_checker(root, path.parent).check(path)
    if checked.model is None:
        raise FileError(checked.problems)
    return checked.model


def load_all(root: Path = PROJECT_ROOT, *, folder: Path | None = None) -> tuple[list[SiteSpec], list[Problem]]:
    """All valid sites of the project (or of one folder), and the problems of the others and between sites."""
    folder = folder or sites_folder(root)
    checker = site_checker(root, folder)
    files = [checker.check(path) for path in site_files(root, folder=folder)]
    found = list(between_sites(files))
    # A site whose id is taken needs another id, so it is not also reported that its file is not named after this one.
    taken = {problem.position for _, problem in found if problem.code == "duplicate-site"}
    problems = [p for file in files for p in file.problems if p.code != "misnamed" or p.position not in taken]
    problems += _other_suffixes(root, folder)
    for file, between in found:
        problems += checker.finish([between], file)
    # A site that clashes with another one must not be rolled out either.
    unfit = {id(file) for file, _ in found}
    return [f.model for f in files if f.model is not None and id(f) not in unfit], list(in_order(problems))


def site_files(root: Path = PROJECT_ROOT, *, folder: Path | None = None) -> list[Path]:
    """The site files in the order of their names. Files whose name begins with `_` or `.` are not sites."""
    return [path for path in sorted((folder or sites_folder(root)).glob("*.yaml")) if path.name[0] not in "_."]


def site_names(root: Path = PROJECT_ROOT) -> list[str]:
    return [path.stem for path in site_files(root)]


@functools.cache
def site_shape() -> SpecShape:
    """The form of a site file, derived from the model once."""
    return SpecShape(SiteSpec)


def site_layers(root: Path = PROJECT_ROOT, folder: Path | None = None) -> Layers:
    """The layers under the sites of a folder: program < company < groups < tier.

    The company's defaults are those of the folder, or else those of the project.
    """
    own = (folder or sites_folder(root)) / DEFAULTS
    company = own if own.exists() else sites_folder(root) / DEFAULTS
    tiers = [profiles / "tiers" for profiles in profiles_folders(root)]
    return read_layers(
        [PROGRAM_DEFAULTS, company], root, {"groups": [groups_folder(root)], "tier": tiers}, only_in_files=("site",)
    )


def shared_problems(root: Path = PROJECT_ROOT, folders: Iterable[Path] = ()) -> list[Problem]:
    """What is wrong with profiles, groups, models, and the defaults of the project and of ``folders``, used or not."""
    found = [*catalogue(root).problems, *models.catalogue_file().problems]
    for folder in dict.fromkeys((sites_folder(root), *folders)):
        found += site_checker(root, folder).check_layers()
        found += _other_suffixes(root, folder)
    for profiles in profiles_folders(root):
        for folder in (profiles, profiles / "hardware", profiles / "tiers"):
            found += _other_suffixes(root, folder)
    found += _other_suffixes(root, groups_folder(root))
    # Beside it, at the top level of a repository, other programs have files of theirs.
    found += _other_suffixes(root, data_folder(root), "fleet.yml")
    return list(dict.fromkeys(in_order(found)))


def site_checker(root: Path = PROJECT_ROOT, folder: Path | None = None) -> FileChecker[SiteSpec]:
    """Checks site files over the layers of a folder."""
    fleet = functools.cache(lambda: fleet_if_sound(root))
    return FileChecker(
        SiteSpec,
        site_layers(root, folder),
        root,
        rules=lambda spec, tree: chain(
            site_rules.findings(spec, catalogue(root)),
            inherited.findings(spec, tree, catalogue(root)),
            tailnet.findings(spec, fleet()),
        ),
        file_rules=_misnamed,
        shape=site_shape(),
        advice=advice,
        stand_in=stand_in,
    )


def is_path(site: str) -> bool:
    """Whether ``site`` is written as the path of a site file, and not as an id."""
    return "/" in site or site.endswith((".yaml", ".yml"))


def _path(name_or_path: str | Path, root: Path) -> Path:
    if isinstance(name_or_path, Path) or is_path(name_or_path):
        return Path(name_or_path)
    path = site_file(root, name_or_path)
    if path.exists() or path.is_symlink():
        return path
    names = site_names(root)
    near = near_miss(name_or_path, names)
    what = f"there is no site {shown(name_or_path)}" + (f": did you mean `{near}`?" if near else "")
    where = from_root(sites_folder(root), root)
    expected = any_of(names) if len(names) <= 12 else f"one of the {len(names)} sites in {where}"
    remedy = f"use `{near}`" if near else "check the name, or describe the site in this file"
    if not names:
        expected, remedy = f"a site file, and {where} holds none", "`edge new SITE --from PROFILE` makes one"
    if name_or_path in site_rules.OTHER_STACKS:
        what = f"{shown(name_or_path)} is no site but the stack of {site_rules.OTHER_STACKS[name_or_path]}"
        remedy = f"`pulumi preview -s {name_or_path}` and `pulumi up -s {name_or_path}` work on it"
    raise FileError([Problem.at(Position(Path(from_root(path, root)), 1, 1), "no-file", what, expected, remedy)])


def _misnamed(tree: MappingNode, file: Path) -> Iterator[Problem]:
    site = tree.entries.get("site")
    if not isinstance(site, ScalarNode) or not isinstance(site.value, str) or site.value == file.stem:
        return
    yield Problem.at(
        site.position,
        "misnamed",
        f"the site is {shown(site.value)} but its file is {shown(file.name)}",
        "the site's id as the file's name: stack, site and file are found by one name",
        f"rename the file to `{site.value}.yaml`, or write `site: {file.stem}`",
        ("site",),
    )


def _other_suffixes(root: Path, folder: Path, names: str = "*.yml") -> Iterator[Problem]:
    for path in sorted(folder.glob(names)):
        name = path.relative_to(root) if path.is_relative_to(root) else path
        yield Problem.at(
            Position(name, 1, 1),
            "suffix",
            "the names of these files end in `.yaml`; this one would be ignored",
            f"`{path.stem}.yaml`",
            f"remove one of the two: `{path.stem}.yaml` is there as well"
            if path.with_suffix(".yaml").exists()
            else "rename the file",
        )
