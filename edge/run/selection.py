"""The files that the arguments of a command name: by site id, by path, by folder, or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError
from sitefile.problems import any_of, near_miss, shown
from stacks.fleet.load import STACK as FLEET
from stacks.loader import is_path, site_files


def fleet_file(root: Path) -> Path:
    """Where the fleet stack is described."""
    return root / "stacks" / "fleet.yaml"


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
            raise OperationError(
                "There is no site in stacks/sites.", ("describe one there, in a file of its own",), code=BAD_INPUT
            )
    return list(files)


def _files_of(name: str, root: Path) -> list[Path]:
    own = {file.stem: file for file in site_files(root)}
    # A site id comes before a folder of the same name (`lab`); a slash makes it a path.
    if name in own:
        return [own[name]]
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
    known = (f"the sites are {any_of(own)}",) if 0 < len(own) <= 12 else ("edge check     lists all sites",)
    raise OperationError(what, known, code=BAD_INPUT)
