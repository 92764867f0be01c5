"""Which Python runs a program, and what is installed for it. Reads the file system only; starts nothing.

Kept free of heavy imports: the language host needs it at the start of every engine run.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path


def virtual_environment(option: object, root: str) -> Path | None:
    """The folder that the runtime option `virtualenv` names, relative to the project's root; None without one."""
    if not isinstance(option, str) or not option:
        return None
    return Path(os.path.normpath(os.path.join(root, option)))


def interpreter(option: object, root: str) -> Path:
    """The Python of the project's virtual environment, or this host's own where the project names none that exists."""
    folder = virtual_environment(option, root)
    if folder is not None and (folder / "bin" / "python").exists():
        return folder / "bin" / "python"
    return Path(sys.executable)


def activated(python: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """An environment in which `python` and its tools come first, as after `activate`."""
    environment = dict(environ)
    folder = python.parent
    environment["PATH"] = os.pathsep.join([str(folder), environment.get("PATH", os.defpath)])
    if (folder.parent / "pyvenv.cfg").is_file():
        environment["VIRTUAL_ENV"] = str(folder.parent)
        environment.pop("PYTHONHOME", None)
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def site_packages(python: Path) -> Path:
    """Where the packages of a Python are installed: its own folder in a virtual environment."""
    if python != Path(sys.executable):
        for folder in sorted((python.parent.parent / "lib").glob("python3.*/site-packages")):
            return folder
    import sysconfig

    return Path(sysconfig.get_path("purelib"))


def sdk_version() -> str:
    """The version of the installed `pulumi` package; the engine warns about a host that is older than the SDK."""
    for folder in site_packages(Path(sys.executable)).glob("pulumi-*.dist-info"):
        if match := re.fullmatch(r"pulumi-(\d+\.\d+\.\d+).*\.dist-info", folder.name):
            return match[1]
    return ""


def distributions(python: Path, *, with_transitive: bool) -> list[tuple[str, str]]:
    """Names and versions of installed distributions; without transitive ones, those that no other one requires."""
    from importlib.metadata import distributions as installed

    found = {}
    required = set()
    for one in installed(path=[str(site_packages(python))]):
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        found[name] = one.version
        for requirement in one.requires or ():
            if "extra ==" not in requirement and (match := re.match(r"[A-Za-z0-9._-]+", requirement)):
                required.add(re.sub(r"[-_.]+", "-", match[0]).lower())
    return sorted((name, version) for name, version in found.items() if with_transitive or name not in required)
