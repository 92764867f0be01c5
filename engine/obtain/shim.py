"""The executable that starts the thin language host, and how to tell it from the official one."""

from __future__ import annotations

from pathlib import Path

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
