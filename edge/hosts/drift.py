"""`edge drift`: what the hosts of sites hold, beside what the site files plan for them. Looks, and changes nothing.

Owns which hosts are asked and the verdict. What is expected comes from the parts themselves (``components.expected``),
connections are ``ssh``'s, showing it is ``render_drift``'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

from components.expected import Expected, answers, asked, differences, probe
from components.host.spec import HostSpec
from components.shell import as_root
from edge.hosts.ssh import Hosts, NotAnswered, reached
from edge.run.failure import OperationError, secrets_missing
from edge.run.operation import BAD_INPUT, DONE, FAILED, opened
from edge.run.stack_settings import read_settings
from engine.environment import PROJECT_ROOT
from engine.rehearsal.in_process import record
from engine.rehearsal.world import World
from sitefile.problems import Problem, SiteError
from stacks.catalogue import catalogue
from stacks.edge_site import EdgeSite
from stacks.loader import load_site
from stacks.program import placeholder
from stacks.site import SiteSpec

_SITES_AT_ONCE, _ENGINES_AT_ONCE = 16, 4
KEY = "ssh-private-key"

Tell = Callable[[int, int], None]
"""Takes how many hosts have been looked at, and of how many."""


@dataclass(frozen=True)
class HostDrift:
    """What was found on one host."""

    name: str
    """Within its site."""
    node: str
    """Outside of it."""
    differences: Sequence[tuple[Expected, str | None]] = ()
    """What is not as planned, with what is there instead (None: nothing)."""
    not_reached: str = ""
    """Why it was not looked at."""

    def as_dict(self) -> dict[str, Any]:
        found = [
            {"kind": one.kind, "name": one.name, "expected": one.value, "found": value}
            for one, value in self.differences
        ]
        return {"host": self.node, "differences": found, "not_reached": self.not_reached or None}


@dataclass(frozen=True)
class SiteDrift:
    """What was found at one site. Without ``problems`` and ``failure``, all of its hosts have been asked."""

    site: str
    file: Path
    hosts: Sequence[HostDrift] = ()
    reapply: str = ""
    """A word that none of its hosts has, to be written to those that differ."""
    problems: Sequence[Problem] = ()
    failure: OperationError | None = None

    @property
    def drifted(self) -> list[HostDrift]:
        return [host for host in self.hosts if host.differences]

    @property
    def not_reached(self) -> list[HostDrift]:
        return [host for host in self.hosts if host.not_reached]

    @property
    def code(self) -> int:
        if self.problems:
            return BAD_INPUT
        return FAILED if self.failure or self.drifted or self.not_reached else DONE

    def as_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "site": self.site,
            "file": self.file.as_posix(),
            "hosts": [host.as_dict() for host in self.hosts],
            "problems": [problem.as_dict() for problem in self.problems],
            "exit": self.code,
        }
        if self.drifted:
            document["remedy"] = {"hosts": [host.name for host in self.drifted], "reapply": self.reapply}
        if self.failure:
            document["error"] = self.failure.as_dict()
        return document


@dataclass(frozen=True)
class Report:
    """All sites together."""

    sites: Sequence[SiteDrift]
    duration_s: float

    @property
    def code(self) -> int:
        return max((site.code for site in self.sites), default=DONE)

    @property
    def counts(self) -> dict[str, int]:
        hosts = [host for site in self.sites for host in site.hosts]
        return {
            "sites": len(self.sites),
            "hosts": len(hosts),
            "drifted": sum(1 for host in hosts if host.differences),
            "differences": sum(len(host.differences) for host in hosts),
            "not_reached": sum(1 for host in hosts if host.not_reached),
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "sites": [site.as_dict() for site in self.sites],
            "counts": self.counts,
            "duration_s": round(self.duration_s, 3),
            "exit": self.code,
        }


@dataclass
class _Asked:
    """How far it has come."""

    hosts: int
    tell: Tell
    done: int = 0
    sites: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_SITES_AT_ONCE))
    engines: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ENGINES_AT_ONCE))

    def one_more(self) -> None:
        self.done += 1
        self.tell(self.done, self.hosts)


def look(files: Sequence[Path], root: Path = PROJECT_ROOT, tell: Tell = lambda _done, _hosts: None) -> Report:
    """Ask every host of the sites in ``files``, side by side. What cannot be asked is in the report, and stops nothing.

    Raises ``EngineError`` where there is no engine to read secrets with.
    """
    started = time.monotonic()
    sites = asyncio.run(_look([_planned(file, root) for file in files], root, tell))
    return Report(sites, time.monotonic() - started)


def look_at(site: Planned, key: str, tell: Tell) -> SiteDrift:
    """Ask the hosts of one site with the private key ``key``."""
    progress = _Asked(len(site.spec.hosts), tell)

    async def asked() -> SiteDrift:
        return await _answered(site, key, progress)

    return asyncio.run(asked())


@dataclass(frozen=True)
class Planned:
    """A site that can be looked at."""

    spec: SiteSpec
    file: Path
    expected: Mapping[str, Sequence[Expected]]
    """By the host's name."""


def planned(site: EdgeSite, file: Path) -> Planned:
    """A site that its program has built."""
    return Planned(site.spec, file, {host.spec.name: tuple(host.expected) for host in site.hosts})


def _planned(file: Path, root: Path) -> Planned | SiteDrift:
    """The site of ``file``, or what is wrong with it."""
    try:
        spec = load_site(file, root=root)
    except SiteError as error:
        return SiteDrift(file.stem, file, problems=error.problems)
    try:
        settings = read_settings(root, spec.site)
        if missing := [need for need in settings.missing(spec) if need.key == KEY]:
            raise secrets_missing(spec.site, missing)
        return Planned(spec, file, expectations(spec, settings.plain))
    except OperationError as error:
        return SiteDrift(spec.site, file, failure=error)
    except Exception as error:
        # It would end `up` of this site as well, and is no reason not to look at the others.
        what = f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
        return SiteDrift(spec.site, file, failure=OperationError(f"The program of {spec.site} stops: {what}"))


def expectations(spec: SiteSpec, config: Mapping[str, str]) -> dict[str, Sequence[Expected]]:
    """What each host of a site is to hold, by its name: asked of the very program that `up` runs."""
    made: list[EdgeSite] = []
    record(
        lambda: made.append(EdgeSite(spec, catalogue=catalogue(), secret=placeholder)),
        project="edge",
        stack=spec.site,
        config=config,
        world=World.of(spec.model_dump(mode="json")),
    )
    return {host.spec.name: tuple(host.expected) for host in made[0].hosts}


async def _look(planned: Sequence[Planned | SiteDrift], root: Path, tell: Tell) -> list[SiteDrift]:
    progress = _Asked(sum(len(site.spec.hosts) for site in planned if isinstance(site, Planned)), tell)
    tell(0, progress.hosts)
    return await asyncio.gather(*(_site(site, root, progress) for site in planned))


async def _site(site: Planned | SiteDrift, root: Path, progress: _Asked) -> SiteDrift:
    if isinstance(site, SiteDrift):
        return site
    if not site.spec.hosts:
        return SiteDrift(site.spec.site, site.file)
    try:
        async with progress.engines:
            key = await asyncio.to_thread(_private_key, site.file, root)
    except OperationError as error:
        return SiteDrift(site.spec.site, site.file, failure=error)
    async with progress.sites:
        return await _answered(site, key, progress)


async def _answered(site: Planned, key: str, progress: _Asked) -> SiteDrift:
    try:
        async with reached(site.spec, key) as hosts:
            found = await asyncio.gather(*(_host(site, host, hosts, progress) for host in site.spec.hosts))
    except OperationError as error:
        return SiteDrift(site.spec.site, site.file, failure=error)
    return SiteDrift(site.spec.site, site.file, found, reapply=_word(site.spec.hosts))


async def _host(site: Planned, host: HostSpec, hosts: Hosts, progress: _Asked) -> HostDrift:
    node, expected = site.spec.node(host), site.expected[host.name]
    try:
        printed = await hosts.run(host, as_root(probe(), site.spec.ssh.user), asked(expected))
    except NotAnswered as error:
        return HostDrift(host.name, node, not_reached=str(error))
    finally:
        progress.one_more()
    return HostDrift(host.name, node, differences(expected, answers(printed)))


def _private_key(file: Path, root: Path) -> str:
    with opened(str(file), rehearse=False, builds=False, root=root) as session:
        return session.secret(KEY)


def _word(hosts: Sequence[HostSpec]) -> str:
    """Today, with a number where a host has been applied again today already."""
    taken, today = {host.reapply for host in hosts}, date.today().isoformat()
    words = (today if number == 1 else f"{today}.{number}" for number in count(1))
    return next(word for word in words if word not in taken)
