"""The executable that starts the thin language host, and how to tell it from the official one."""

from __future__ import annotations

import os
from pathlib import Path

from engine.obtain.pin import EngineError

HOST = "pulumi-language-python"
_MARK = "edge: thin language host"
SHIM = f"""#!/bin/sh
# {_MARK}; see engine/stand_in/language_host.py. `make setup` removes it where the official one is found.
exec "${{0%/*}}/python" -P -m engine.stand_in.language_host "$@"
"""


def is_our_shim(path: Path) -> bool:
    """Whether this is the host that setup installs, and not the official one."""
    try:
        with open(path, "rb") as file:
            return _MARK.encode() in file.read(len(SHIM) + 1)
    except OSError:
        return False


def official_host(pulumi: Path) -> Path | None:
    """The official language host that the engine would find: beside this `pulumi`, or on PATH."""
    folders = [pulumi.resolve().parent, *map(Path, filter(None, os.environ.get("PATH", "").split(os.pathsep)))]
    for folder in folders:
        host = folder / HOST
        if os.access(host, os.X_OK) and not is_our_shim(host):
            return host
    return None


def language_host(pulumi: Path, installed: Path) -> Path | None:
    """What a run starts the program with: ours beside ``installed``, which is that of setup, or the official one.

    A CLI from the cache of another virtual environment has none, and the engine would ask for a plugin.
    """
    ours = installed.parent / HOST
    return ours if is_our_shim(ours) else official_host(pulumi)


def require_host(pulumi: Path, installed: Path) -> None:
    """Raises EngineError where there is no language host."""
    if language_host(pulumi, installed) is None:
        raise EngineError(
            f"{pulumi} runs no Python: it has no {HOST} beside it, and none is on PATH.\nRun `edge setup`, which puts "
            f"both into {installed.parent}."
        )
