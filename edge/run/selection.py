"""Which site files are meant: by site id, by path, by folder, or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.run.failure import OperationError
from sitefile.problems import any_of, near_miss, shown
from stacks.loader import site_files


def selected(names: Sequence[str], root: Path) -> list[Path]:
    """The files of ``names``, in their order, each once; all sites of the project when there are none.

    Raises ``OperationError`` (bad input) for a name that is neither a site nor a path.
    """
    files: dict[Path, None] = {}
    for name in names:
        files.update(dict.fromkeys(_files_of(name, root)))
    if not names:
        files = dict.fromkeys(site_files(root))
        if not files:
            raise OperationError(
                "There is no site in stacks/sites.", ("describe one there, in a file of its own",), code=2
            )
    return list(files)


def _files_of(name: str, root: Path) -> list[Path]:
    own = {file.stem: file for file in site_files(root)}
    # Before any folder: a site may be called as one of them (`lab`); a path says so by its slash.
    if name in own:
        return [own[name]]
    path = Path(name)
    if path.is_dir():
        files = site_files(root, folder=path)
        if not files:
            raise OperationError(f"There is no site file in {name}.", ("site files end in .yaml",), code=2)
        return files
    if "/" in name or name.endswith((".yaml", ".yml")):
        if not path.is_file():
            raise OperationError(f"There is no file {name}.", code=2)
        return [path]
    near = near_miss(name, own)
    what = f"There is no site {shown(name)}" + (f": did you mean `{near}`?" if near else ".")
    known = (f"the sites are {any_of(own)}",) if 0 < len(own) <= 12 else ("edge check     lists all sites",)
    raise OperationError(what, known, code=2)
