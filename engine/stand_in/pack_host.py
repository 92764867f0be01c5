"""Policy packs for a process that drives the engine, where the official language host is absent.

An official host is never replaced: where there is one, it runs the packs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.obtain.cli import installed_path
from engine.obtain.shim import HOST, is_our_shim
from engine.serving import serving
from engine.stand_in import language_service
from engine.stand_in.runners import PACK, Runners


@contextmanager
def pack_host(*, with_pack: bool) -> Iterator[dict[str, str]]:
    """The variables with which a `pulumi` calls back here for its policy packs; none with an official host.

    ``with_pack``: a pack will be asked for. Its process starts at once, to be ready when the engine is.
    """
    if not is_our_shim(installed_path().parent / HOST):
        yield {}
        return
    runners = Runners(own_groups=True)
    try:
        if with_pack:
            runners.make_ready(PACK, Path(sys.executable))
        with serving() as (server, port):
            language_service.register(language_service.LanguageService(runners, runs_programs=False), server)
            server.start()
            yield {"PULUMI_DEBUG_LANGUAGES": f"python:{port}"}
    finally:
        runners.kill()
