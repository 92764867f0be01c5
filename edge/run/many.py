"""One command on many sites: each site in a worker process, the same as alone, and a result for each.

Owns the jobs, their results, and what ^C means for all of them. What is done at a site is the command's: a function
that can be pickled. A site that fails, or whose worker is killed, stops no other.

Waves, gates and deferred sites are decisions about the next job: their place is ``run``, which starts jobs in order.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

from components.consequence import Consequence
from edge.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED
from edge.run import pool
from edge.run.events import COUNTED, STACK_TYPE, Step
from edge.run.failure import OperationError
from edge.run.operation import Outcome
from engine.obtain.pin import EngineError
from sitefile.problems import FileError
from stacks.loader import is_path
from stacks.project import sites_folder

ENGINE_MIB = 1000
"""Memory that a site may need while an engine works on it: engine, program, policies, plugins."""
_TOLD_EACH_S = 0.2
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Command = Literal["preview", "up", "outputs", "render"]


@dataclass(frozen=True)
class Job:
    """What is to be done at one site."""

    site: str
    """Id, or path of the site file."""
    root: Path
    rehearse: bool = False
    against: str | None = None
    show_secrets: bool = False
    out: Path | None = None
    """The folder for what `render` writes."""
    contents: bool = True
    """Whether the result has the content of the files that were written."""
    agreed: str | None = None
    """What was shown before somebody agreed (``agreement``); None: nobody was asked."""

    @property
    def name(self) -> str:
        return Path(self.site).stem if is_path(self.site) else self.site


@dataclass(frozen=True)
class Progress:
    """How far the engine is at one site."""

    done: int = 0
    running: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Result:
    """What came of a job."""

    site: str
    code: int
    document: dict[str, Any]
    """What `--json` prints for this site alone."""
    why: str = ""
    """In one line, why it failed."""
    outcome: Outcome | None = None
    """Of a preview or an `up`, without the state that it has met."""
    started: bool = True
    """False where ^C came before its turn."""

    @property
    def counts(self) -> dict[str, int]:
        """Resources by operation; empty where no engine ran."""
        return self.outcome.run.counts if self.outcome is not None and self.outcome.run.resources else {}

    @property
    def changes(self) -> bool:
        """Whether anything differs, the outputs included."""
        return self.outcome is not None and bool(self.outcome.run.resources) and not self.outcome.run.changes_nothing

    @property
    def consequences(self) -> tuple[Consequence, ...]:
        return self.outcome.consequences if self.outcome is not None else ()


Work = Callable[[Job], Result]


class Watch(Protocol):
    """Sees what happens while the jobs run."""

    def begun(self, site: str) -> None: ...
    def progress(self, site: str, progress: Progress) -> None: ...
    def ended(self, result: Result) -> None: ...
    def interrupted(self, times: int) -> None: ...


@dataclass(frozen=True)
class Summary:
    """All jobs together."""

    command: Command
    results: Sequence[Result]
    duration_s: float = 0.0

    @property
    def failed(self) -> list[Result]:
        return [one for one in self.results if one.code not in (DONE, INTERRUPTED)]

    @property
    def interrupted(self) -> list[Result]:
        return [one for one in self.results if one.code == INTERRUPTED]

    @property
    def code(self) -> int:
        """1 where any site failed, whatever the reason: 2 means that nothing was selected, and nothing done."""
        if self.interrupted:
            return INTERRUPTED
        return FAILED if self.failed else DONE

    @property
    def sites(self) -> dict[str, int]:
        """Number of sites by what came of them. Only an engine tells what changes."""
        counts = {
            "all": len(self.results),
            "succeeded": sum(one.code == DONE for one in self.results),
            "failed": len(self.failed),
            "interrupted": sum(one.started for one in self.interrupted),
            "not_started": sum(not one.started for one in self.interrupted),
        }
        if self.command in ("preview", "up"):
            counts["changed"] = sum(one.changes for one in self.results if one.code == DONE)
        return counts

    @property
    def resources(self) -> dict[str, int]:
        """Number of resources by operation, at the sites that did not fail."""
        total: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
        for one in self.results:
            if one.code == DONE:
                total.update(one.counts)
        return dict(total)

    def as_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {"operation": self.command, "sites": self.sites}
        if self.command in ("preview", "up"):
            document["resources"] = self.resources
        document["failed"] = [
            {"site": one.site, "exit": one.code, "why": one.why} for one in self.results if one.code != DONE
        ]
        return {**document, "duration_s": round(self.duration_s, 3), "exit": self.code}


def jobs(files: Sequence[Path], root: Path) -> list[Job]:
    """A job for each site file. Raises ``OperationError`` (bad input) where two have the same stack."""
    own = sites_folder(root).resolve()
    found: dict[str, Path] = {}
    todo = []
    for file in {file.resolve(): file for file in reversed(files)}.values():
        if file.stem in found:
            what = f"{found[file.stem]} and {file} are both the site {file.stem}, and have one stack."
            raise OperationError(what, ("name one of the two",), code=BAD_INPUT)
        found[file.stem] = file
        todo.append(Job(file.stem if file.resolve().parent == own else str(file), root))
    return todo[::-1]


def run(command: Command, todo: Sequence[Job], work: Work, watch: Watch, workers: int) -> Summary:
    """Do all jobs, ``workers`` at a time. The results are in the order of the jobs."""
    started = time.monotonic()
    results: dict[int, Result] = {}
    with pool.running(functools.partial(attempt, work=work), todo, workers) as running, _stopping(running, watch):
        for event in running.events():
            site = todo[event.number].name
            if isinstance(event, pool.Ended):
                lost = isinstance(event.result, pool.Lost)
                found = _lost(site, event.result.reason, stopped=running.stopped) if lost else event.result
                results[event.number] = found
                watch.ended(found)
            elif isinstance(event.message, Progress):
                watch.progress(site, event.message)
            else:
                watch.begun(site)
    for number, job in enumerate(todo):
        if number not in results:
            results[number] = _not_started(job.name)
    return Summary(command, [results[number] for number in range(len(todo))], time.monotonic() - started)


def attempt(job: Job, work: Work) -> Result:
    """One job in a worker. ^C is the caller's: it reaches this process through the pool only, once each time."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        pool.tell("begun")
        return work(job)
    except KeyboardInterrupt:
        return _failed(job.name, OperationError(f"{job.name}: interrupted.", code=INTERRUPTED))
    except FileError as error:
        first, more = error.problems[0], len(error.problems) - 1
        why = f"{first.file.as_posix()}:{first.line}:{first.column}: {first.what}"
        why += f" (and {more} more)" if more else ""
        document = {"site": job.name, "problems": [one.as_dict() for one in error.problems], "exit": BAD_INPUT}
        return Result(job.name, BAD_INPUT, document, why)
    except OperationError as error:
        return _failed(job.name, error)
    except EngineError as error:
        return _failed(job.name, OperationError(str(error)))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def of_outcome(outcome: Outcome) -> Result:
    """The result of a preview or an `up`."""
    document = outcome.as_dict()
    # What the stack holds is of no more use, and can be large.
    outcome.run.held.clear()
    return Result(outcome.site, outcome.code, document, why_not(outcome), outcome)


def why_not(outcome: Outcome) -> str:
    """In one line, why an operation did not succeed; empty where it did."""
    if outcome.code == DONE:
        return ""
    said = [outcome.failure.what] if outcome.failure else []
    said += [one.message or one.policy for one in outcome.run.violations]
    said += [one.message for one in outcome.run.errors]
    return next((first_line(one, outcome.site) for one in said if one.strip()), "no reason given")


def first_line(said: str, site: str) -> str:
    """What is said beside the site's name, which need not be said again."""
    return (said.strip() or "no reason given").splitlines()[0].removeprefix(f"{site}: ")


def agreement(outcome: Outcome) -> str:
    """What a person sees of a preview before agreeing to it, as one hash. Two previews of the same have the same."""
    document = outcome.as_dict()
    shown = ("resources", "output_changes", "consequences", "renewed", "new_stack", "backend")
    return hashlib.sha256(json.dumps([document[key] for key in shown], sort_keys=True).encode()).hexdigest()


@dataclass
class Steps:
    """Counts the steps of one site and tells them to the caller, a few times a second."""

    done: int = 0
    failed: int = 0
    running: set[str] = field(default_factory=set)
    told: float = 0.0

    def step(self, step: Step) -> None:
        if step.change.type == STACK_TYPE:
            return
        if step.status == "running":
            self.running.add(step.change.urn)
        else:
            self.running.discard(step.change.urn)
            self.failed += step.status == "failed"
            self.done += step.status == "done"
        now = time.monotonic()
        if now - self.told >= _TOLD_EACH_S:
            self.told = now
            pool.tell(Progress(self.done, len(self.running), self.failed))


def _failed(site: str, error: OperationError) -> Result:
    document = {"site": site, "error": error.as_dict(), "exit": error.code}
    return Result(site, error.code, document, first_line(error.what, site))


def _lost(site: str, reason: str, *, stopped: bool) -> Result:
    return _failed(site, OperationError(reason, code=INTERRUPTED if stopped else FAILED))


def _not_started(site: str) -> Result:
    error = OperationError("not started: interrupted before its turn", code=INTERRUPTED)
    document = {"site": site, "error": error.as_dict(), "exit": INTERRUPTED}
    return Result(site, INTERRUPTED, document, error.what, started=False)


@contextmanager
def _stopping(running: pool.Pool, watch: Watch) -> Iterator[None]:
    """Within this context, signals that ask this process to stop are passed on to the workers, which then end.

    SIGHUP stays ignored where it was ignored before (`nohup`).
    """
    times = 0

    def take(_number: int, _frame: FrameType | None) -> None:
        nonlocal times
        times += 1
        running.interrupt()
        with contextlib.suppress(RuntimeError):
            # Python refuses to print in a handler that has interrupted a print.
            watch.interrupted(times)

    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    taken = [number for number in _STOPPING if not (ignored and number == signal.SIGHUP)]
    before = {number: signal.signal(number, take) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
