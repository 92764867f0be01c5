"""`python -m engine.obtain.setup`: puts a working `pulumi` into this virtual environment. Quick the second time.

A `pulumi` with the official Python language host is linked to. Where that host is absent, the executable itself is
put here, because the engine looks for its bundled plugins beside its executable, with our thin host next to it.
An official host is never shadowed: when one appears, ours goes.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from engine.obtain import cli
from engine.obtain.cli import PulumiCli
from engine.obtain.pin import EngineError
from engine.obtain.progress import say
from engine.obtain.shim import HOST, SHIM, is_our_shim, official_host


def install(found: PulumiCli, folder: Path) -> None:
    """Put `found` and, where needed, the thin language host into `folder`."""
    shim = folder / HOST
    if official_host(found.path) is None:
        _place(folder / "pulumi", found.path, link=False)
        _write_executable(shim, SHIM)
    else:
        _place(folder / "pulumi", found.path, link=True)
        if is_our_shim(shim):
            shim.unlink()


def is_done(found: PulumiCli | None, folder: Path) -> bool:
    """Whether what is installed is still right, so that setup has nothing to do."""
    if found is None:
        return False
    shim = folder / HOST
    if official_host(found.path) is None:
        return shim.is_file() and shim.read_text() == SHIM
    return not is_our_shim(shim)


def _place(target: Path, source: Path, *, link: bool) -> None:
    aside = target.with_name(f".{target.name}-{os.getpid()}")
    aside.unlink(missing_ok=True)
    source = source.resolve()
    if link:
        aside.symlink_to(source)
    else:
        try:
            os.link(source, aside)
        except OSError:
            # The cache is on another file system, or belongs to somebody else.
            shutil.copy2(source, aside)
    aside.replace(target)


def _write_executable(target: Path, text: str) -> None:
    aside = target.with_name(f".{target.name}-{os.getpid()}")
    aside.write_text(text)
    aside.chmod(0o755)
    aside.replace(target)


def main() -> int:
    """Install what is missing; 0 when `pulumi` works afterwards, 1 with the reasons when it cannot be had."""
    if sys.prefix == sys.base_prefix:
        say("engine.obtain.setup installs into a virtual environment, and this Python is not in one. Run `make setup`.")
        return 1
    folder = cli.installed_path().parent
    try:
        done = cli.recorded()
        if done is not None and is_done(done, folder):
            return 0
        found = cli.obtain()
        install(found, folder)
        cli.record(found)
    except EngineError as error:
        say(str(error))
        return 1
    host = "the thin language host" if is_our_shim(folder / HOST) else "its own language host"
    say(f"Pulumi CLI {found.version} ({found.origin}, {found.path}) with {host}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
