"""Many site files over a few processes, answers in the order of the files, memory flat.

Owns the processes. On Linux they are forked after everything has been imported, so that imports are paid once and
their memory is shared; where forking is not safe, each worker imports for itself, once.
"""

from __future__ import annotations

import functools
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from edge.run.check import SiteCheck, check_file
from edge.run.failure import OperationError

ALONE = 24
"""Up to so many sites, one process is done before a second one would have started to help."""

_CHUNK = 8
# Specs and recordings are built up and dropped whole; looking for cycles every 700 objects finds nothing each time.
_GC_THRESHOLDS = (50_000, 20, 50)


def check_files(files: Sequence[Path], root: Path, jobs: int | None = None) -> Iterator[SiteCheck]:
    """Check all files; each answer comes as soon as it and those before it are there."""
    count = min(jobs or available_cores(), max(1, len(files)))
    check = functools.partial(check_file, root=root)
    if count == 1 or (jobs is None and len(files) <= ALONE):
        with _rare_collections():
            yield from map(check, files)
        return
    chunk = max(1, min(_CHUNK, len(files) // (count * 4)))
    with _rare_collections():
        context = multiprocessing.get_context("fork" if _may_fork() else "spawn")
        with ProcessPoolExecutor(count, mp_context=context, initializer=_begin) as pool:
            try:
                yield from pool.map(check, files, chunksize=chunk)
            except BrokenProcessPool:
                raise OperationError(
                    "A process that checked sites was ended from outside, most likely for lack of memory.",
                    ("edge check --jobs 1     needs the least memory",),
                ) from None
            finally:
                pool.shutdown(cancel_futures=True)


def available_cores() -> int:
    """Cores that this process may use, which in a container are often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _may_fork() -> bool:
    """A child has only the thread that forked; another one's lock would stay closed in it for ever."""
    return sys.platform == "linux" and threading.active_count() == 1


def _begin() -> None:
    # ^C reaches the whole group; this process ends when the one that collects the answers does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


@contextmanager
def _rare_collections() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
