"""A bounded pool of worker processes: each does one item after another, and every item gets one result.

Owns the processes. What is done with an item is the caller's: a function that can be pickled. A worker that crashes, or
is killed, loses the item that it was working on and no other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKER_MIB = 300
"""Memory that a worker may need: the SDKs, and one site at a time."""
ALONE = 24
"""Up to this many sites to build, this process is done before a second one would have started to help."""
_GRACE_S = 10
"""Time that a worker has to end when it is asked to."""


@dataclass(frozen=True)
class Lost:
    """In place of a result: why there is none."""

    reason: str


@dataclass(frozen=True)
class Told:
    """What the work on an item has told before its end."""

    number: int
    """Of the item."""
    message: Any


@dataclass(frozen=True)
class Ended:
    """The end of the work on an item."""

    number: int
    result: Any
    """What the work returned, or ``Lost``."""


_caller: list[Connection] = []
"""In a worker: the connection to the process that gives out the items."""


def tell(message: Any) -> None:
    """Within the work on an item: tell the caller something before the end. Elsewhere it does nothing."""
    for connection in _caller:
        connection.send(Told(0, message))


def size(items: int, wanted: int | None = None, worker_mib: int = WORKER_MIB) -> int:
    """How many workers to start: as many as ``wanted``, or as cores and memory allow; never more than items."""
    return max(1, min(items, wanted or min(available_cores(), available_mib() // worker_mib)))


def attempt(work: Callable[[Item], Result], item: Item) -> Result | Lost:
    """The result for one item, in this process."""
    try:
        return work(item)
    except Exception as error:
        if os.environ.get("EDGE_DEBUG"):
            traceback.print_exc()
        said = (str(error).strip() or "no reason given").splitlines()[0]
        return Lost(f"{type(error).__name__}: {said}")


def each(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result | Lost]:
    """The result of ``work`` for each item, in the order of the items, as soon as it is there.

    When the caller stops early (by ^C, for example), all workers are asked to end with SIGTERM, then killed.
    """
    results: dict[int, Any] = {}
    with running(work, items, workers) as pool:
        events = pool.events()
        for number in range(len(items)):
            while number not in results:
                event = next(events)
                if isinstance(event, Ended):
                    results[event.number] = event.result
            yield results.pop(number)


@contextmanager
def running(work: Callable[[Any], Any], items: Sequence[Any], workers: int) -> Iterator[Pool]:
    """A pool that has started to work. When the context ends early, all workers are asked to end, then killed."""
    pool = Pool(work, items)
    try:
        for _ in range(min(workers, len(items))):
            pool.start_worker()
        yield pool
    finally:
        pool.end()


@dataclass
class _Worker:
    process: BaseProcess
    number: int
    """Of the item that it is working on."""
    listens: bool = False
    """Whether it has told something of this item: from then on it knows what an interrupt means."""
    interrupts: int = 0
    """How many were passed on to it."""


class Pool:
    """Workers and the items that wait for them; made by ``running``."""

    def __init__(self, work: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self._work = work
        self._waiting = deque(enumerate(items))
        self._context = _context(work)
        self._workers: dict[Connection, _Worker] = {}
        self._interrupts = 0

    @property
    def stopped(self) -> bool:
        """Whether an interrupt has ended the giving out of items."""
        return self._interrupts > 0

    def events(self) -> Iterator[Told | Ended]:
        """Everything that happens, as it happens, until no worker is left.

        After an interrupt, items that had not been started have no event.
        """
        while self._workers:
            yield from self._next_events()

    def interrupt(self) -> None:
        """Give out no more items, and pass SIGINT on to each worker that has told something of its item.

        May be called in a signal handler, and several times.
        """
        self._interrupts += 1
        self._waiting.clear()
        self._pass_on()

    def _pass_on(self) -> None:
        for worker in list(self._workers.values()):
            while worker.listens and worker.interrupts < self._interrupts and worker.process.pid is not None:
                worker.interrupts += 1
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)

    def start_worker(self) -> None:
        """Start one for the next item, if there is one."""
        item = self._next_item()
        if item is None:
            return
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        process.start()
        theirs.close()
        self._workers[ours] = _Worker(process, item[0])
        self._send(ours, item[1])

    def _next_events(self) -> Iterator[Told | Ended]:
        """Wait for one event or more."""
        for connection in wait(list(self._workers)):
            assert isinstance(connection, Connection)
            worker = self._workers[connection]
            try:
                told = connection.recv()
            except (EOFError, ConnectionError):
                yield Ended(worker.number, Lost(self._ended(connection)))
                self.start_worker()
                continue
            if isinstance(told, Told):
                worker.listens = True
                self._pass_on()
                yield Told(worker.number, told.message)
                continue
            number, worker.listens = worker.number, False
            if item := self._next_item():
                worker.number = item[0]
                self._send(connection, item[1])
            else:
                # Its next read finds the end, and it ends.
                del self._workers[connection]
                connection.close()
            yield Ended(number, told.result)

    def _next_item(self) -> tuple[int, Any] | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def end(self) -> None:
        workers = [worker.process for worker in self._workers.values()]
        for process in workers:
            process.terminate()
        for process in workers:
            process.join(_GRACE_S)
            if process.is_alive():
                process.kill()
                process.join()
        for connection in self._workers:
            connection.close()
        self._workers.clear()

    def _ended(self, connection: Connection) -> str:
        process = self._workers.pop(connection).process
        process.join()
        connection.close()
        code = process.exitcode or 0
        if code == -signal.SIGKILL:
            return "its worker process was killed, most likely for lack of memory; --jobs 1 needs the least"
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"its worker process ended {how}"

    @staticmethod
    def _send(connection: Connection, item: Any) -> None:
        try:
            connection.send(item)
        except ConnectionError:
            # The worker is gone; the next read says so.
            return


def _context(work: Callable[[Any], Any]) -> ForkServerContext | SpawnContext:
    """Workers never inherit threads or open files: they come from a server process, or start from nothing."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Imported once, by the server; the workers share that memory.
    module = getattr(work, "func", work).__module__
    context.set_forkserver_preload([module] if module != "__main__" else [])
    return context


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    """A worker: one item after another, until there is none or the caller is gone."""
    # ^C reaches every process of the terminal; the caller decides what it means for this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _caller.append(connection)
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        connection.send(Ended(0, attempt(work, item)))


def available_cores() -> int:
    """Cores that this process may use; in a container often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_mib() -> int:
    """Memory that can be used without swapping, as far as the system tells; within a container, its own limit."""
    free = sys.maxsize
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        (kib,) = (line.split()[1] for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
        free = int(kib) // 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and (most := limit.read_text().strip()) != "max":
        free = min(free, (int(most) - int(used.read_text())) // 1024**2)
    return free
