"""`edge status`: what was applied at each site, from the states alone. No engine, no passphrase, no host is asked.

A state in a folder is read directly. Of another backend, `pulumi` is asked, which does not decrypt anything either.
The revision and the result are in the history that the backend keeps beside a state; a backend without one says less.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from edge.exit_codes import DONE, FAILED
from edge.run import actor, pool
from edge.run.drift_seen import Seen, last_seen
from edge.run.events import STACK_TYPE
from edge.run.failure import OperationError, state_lost
from edge.run.state_file import backend_folder
from edge.run.surroundings import without_dead_agent
from engine.environment import backend_of, environment, file_backend, state_folder
from engine.obtain.cli import locate
from stacks.fleet.load import STACK as FLEET
from stacks.project import project_name
from stacks.provenance import OUTPUT as BUILT_FROM
from stacks.shared.settings import STACK as SHARED

State = Literal["applied", "empty", "never", "unreadable"]
_ALONE = 40
"""Up to this many states, this process has read them before a second one would have started to help."""
_ASKED_AT_ONCE = 8
_STARTED = re.compile(r"-(\d+)\.history\.json(?:\.gz)?$")


@dataclass(frozen=True)
class Update:
    """The last run that the backend has recorded."""

    kind: str
    """`update`, `destroy`, `refresh`, ..."""
    result: str
    """`succeeded`, `failed`, or `in-progress`."""
    ended: str = ""
    """ISO 8601, UTC."""
    revision: str = ""
    """The commit that was checked out; empty where the project was no Git repository."""
    dirty: bool = False
    """Whether files differed from that commit."""
    by: str = ""
    """Who ran `edge`; empty where it was another program."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "result": self.result,
            "ended": self.ended,
            "revision": self.revision or None,
            "dirty": self.dirty,
            "by": self.by or None,
        }


@dataclass(frozen=True)
class SiteStatus:
    """What the state of one site says."""

    site: str
    state: State
    applied: str = ""
    """When the state was last written: ISO 8601, UTC."""
    built_from: str = ""
    """The hash of the site and of the program that were applied (``stacks.provenance``)."""
    pulumi: str = ""
    resources: int = 0
    """Without the stack itself."""
    pending: tuple[str, ...] = ()
    """Operations that a killed run had begun: `creating NAME`."""
    last: Update | None = None
    why: str = ""
    """Why the state could not be read."""
    drift: Seen | None = None
    """What `edge drift` saw when it last looked from this checkout; None where it never did."""

    @property
    def code(self) -> int:
        return FAILED if self.state == "unreadable" else DONE

    def as_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "site": self.site,
            "state": self.state,
            "applied": self.applied or None,
            "built_from": self.built_from or None,
            "pulumi": self.pulumi or None,
            "resources": self.resources,
            "pending": list(self.pending),
            "last_update": self.last.as_dict() if self.last else None,
            "drift_seen": self.drift.as_dict() if self.drift else None,
        }
        return {**document, "error": {"what": self.why}} if self.why else document


@dataclass(frozen=True)
class Report:
    """All sites."""

    sites: Sequence[SiteStatus]
    backend: str
    mode: Literal["rehearsal", "real"]
    without_file: Sequence[str] = field(default=())
    """Stacks that hold resources and whose site has no file any more; known where every site was asked for."""

    @property
    def code(self) -> int:
        """1 where a state could not be read: it may say anything."""
        return max((one.code for one in self.sites), default=DONE)

    @property
    def counts(self) -> dict[str, int]:
        return {
            "sites": len(self.sites),
            **{state: sum(one.state == state for one in self.sites) for state in ("applied", "empty", "never")},
            "unreadable": sum(one.state == "unreadable" for one in self.sites),
            "last_failed": sum(one.last is not None and one.last.result == "failed" for one in self.sites),
            "pending": sum(bool(one.pending) for one in self.sites),
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "backend": self.backend,
            "sites": [one.as_dict() for one in self.sites],
            "without_file": list(self.without_file),
            "counts": self.counts,
            "exit": self.code,
        }


def status(names: Sequence[str], root: Path, *, rehearse: bool = False, everything: bool = False) -> Report:
    """The status of the sites ``names``. ``everything``: they are all that there are, and other stacks have no file.

    Raises ``EngineError`` where `pulumi` has to be asked and is not there, and ``OperationError`` where it fails.
    """
    mode: Literal["rehearsal", "real"] = "rehearsal" if rehearse else "real"
    rehearsals = file_backend(state_folder(root) / "rehearsal")
    variables = environment(project_root=root, backend=rehearsals if rehearse else None)
    backend = backend_of(variables, root)
    folder, project = backend_folder(backend, root), project_name(root)
    if folder is not None:
        read = functools.partial(_in_folder, folder=folder, project=project, mode=mode)
        # Several processes: reading JSON is all that takes time.
        workers = 1 if len(names) <= _ALONE else pool.size(len(names))
        answers = pool.each(read, list(names), workers) if workers > 1 else (pool.attempt(read, one) for one in names)
        found = [_unless_lost(name, answer) for name, answer in zip(names, answers, strict=True)]
        stacks = [_stem(file) for file in (folder / "stacks" / project).glob("*.json*")]
    else:
        found, stacks = _asked(names, root, variables)
    if not rehearse:
        found = [replace(one, drift=last_seen(one.site, root)) for one in found]
    others = sorted({*stacks} - {*names, FLEET, SHARED, ""}) if everything else []
    return Report(found, backend, mode, others)


def _in_folder(name: str, folder: Path, project: str, mode: str) -> SiteStatus:
    """From a file backend's own files."""
    stacks = folder / "stacks" / project
    file = next((one for one in (stacks / f"{name}.json.gz", stacks / f"{name}.json") if one.is_file()), None)
    if file is None:
        url = file_backend(folder.parent)
        if lost := state_lost(name, mode, {"PULUMI_BACKEND_URL": url}, project):
            return SiteStatus(name, "unreadable", why=lost.what.splitlines()[0])
        return SiteStatus(name, "never")
    try:
        latest = _json(file)["checkpoint"].get("latest")
        deployment = {} if latest is None else latest
        history = folder / "history" / project / name
        newest = max(history.glob(f"{name}-*.history.json*"), key=_started, default=None)
        return told(name, deployment, _json(newest) if newest else None)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        return SiteStatus(name, "unreadable", why=f"{file} cannot be read: {_reason(error)}")


def told(name: str, deployment: Mapping[str, Any], last: Mapping[str, Any] | None) -> SiteStatus:
    """What a deployment says, as `pulumi stack export` writes it, and the last entry of the history."""
    resources = deployment.get("resources") or []
    stack: Mapping[str, Any] = next((one for one in resources if one["type"] == STACK_TYPE), {})
    others = sum(one["type"] != STACK_TYPE for one in resources)
    manifest = deployment.get("manifest") or {}
    return SiteStatus(
        name,
        "applied" if others else "empty",
        applied=_seconds(manifest.get("time", "")),
        built_from=str((stack.get("outputs") or {}).get(BUILT_FROM, "")),
        pulumi=manifest.get("version", ""),
        resources=others,
        pending=tuple(
            f"{one.get('type', 'changing')} {one['resource']['urn'].split('::', 3)[-1]}"
            for one in deployment.get("pending_operations") or ()
        ),
        last=_update(last) if last else None,
    )


def _update(entry: Mapping[str, Any]) -> Update:
    about = entry.get("environment") or {}
    return Update(
        kind=entry.get("kind", ""),
        result=entry.get("result", ""),
        ended=_moment(entry.get("endTime")),
        revision=about.get("git.head", ""),
        dirty=about.get("git.dirty") == "true",
        by=actor.who(entry.get("message") or ""),
    )


def _asked(names: Sequence[str], root: Path, variables: Mapping[str, str]) -> tuple[list[SiteStatus], list[str]]:
    """From `pulumi`, several stacks at the same time."""
    ask = functools.partial(_pulumi, root=root, variables=without_dead_agent({**os.environ, **variables}))
    stacks = [one["name"].rpartition("/")[2] for one in ask("stack", "ls")]

    def one(name: str) -> SiteStatus:
        if name not in stacks:
            return SiteStatus(name, "never")
        try:
            deployment = ask("stack", "export", "--stack", name).get("deployment") or {}
            entries = ask("stack", "history", "--page-size", "1", "--page", "1", "--stack", name)
            return told(name, deployment, entries[0] if entries else None)
        except (OperationError, ValueError, KeyError, TypeError, AttributeError) as error:
            return SiteStatus(name, "unreadable", why=_reason(error))

    with ThreadPoolExecutor(_ASKED_AT_ONCE) as threads:
        return list(threads.map(one, names)), stacks


def _pulumi(*arguments: str, root: Path, variables: Mapping[str, str]) -> Any:
    # `stack export` writes JSON anyway, and does not know the flag.
    form = () if "export" in arguments else ("--json",)
    done = subprocess.run(
        [str(locate().path), "--non-interactive", "--color", "never", *arguments, *form],
        cwd=root,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise OperationError(f"pulumi {' '.join(arguments[:2])}: {said.splitlines()[-1]}")
    return json.loads(done.stdout or "null") or []


def _unless_lost(name: str, answer: SiteStatus | pool.Lost) -> SiteStatus:
    return SiteStatus(name, "unreadable", why=answer.reason) if isinstance(answer, pool.Lost) else answer


def _stem(file: Path) -> str:
    """The stack of a state's file; empty for its backup."""
    name = file.name.removesuffix(".gz")
    return name.removesuffix(".json") if name.endswith(".json") else ""


def _started(file: Path) -> int:
    """When the run began, in nanoseconds, from the file's name."""
    found = _STARTED.search(file.name)
    return int(found[1]) if found else 0


def _json(file: Path) -> Any:
    data = file.read_bytes()
    return json.loads(gzip.decompress(data) if file.suffix == ".gz" else data)


def _seconds(time: str) -> str:
    """A time of Go, to the second, in UTC."""
    if not time or time.startswith("0001-"):
        return ""
    moment = datetime.fromisoformat(re.sub(r"\.\d+", "", time).replace("Z", "+00:00"))
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(time: Any) -> str:
    """As `pulumi` prints it (a text) or keeps it (seconds since 1970)."""
    if isinstance(time, int | float):
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time else ""
    return _seconds(time or "")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip() or type(error).__name__).splitlines()[0]
