"""`edge drift`: compares what the hosts of sites hold with what their site files plan. Read-only.

Owns which hosts are probed, and the verdict. What is expected comes from the parts themselves
(``components.expected``); connections are ``ssh``'s.
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
from edge.exit_codes import BAD_INPUT, DONE, FAILED
from edge.hosts.login import Login, login_of_stack, require
from edge.hosts.ssh import Hosts, NotAnswered, connected
from edge.run import drift_seen
from edge.run.drift_seen import Seen
from edge.run.failure import OperationError
from edge.run.program import recorded, rehearsed
from edge.run.stack_settings import read_settings
from engine.environment import PROJECT_ROOT
from sitefile.problems import FileError, Problem
from stacks.edge_site import EdgeSite
from stacks.loader import load_site
from stacks.project import site_file
from stacks.site import SiteSpec

_SITES_AT_ONCE, _ENGINES_AT_ONCE = 16, 4

Tell = Callable[[int, int], None]
"""Called with the number of hosts that have been probed, and with the number of all."""


@dataclass(frozen=True)
class HostDrift:
    """The result for one host."""

    name: str
    """Name within its site."""
    node: str
    """Name of its node, unique among all sites."""
    differences: Sequence[tuple[Expected, str | None]] = ()
    """What is not as planned, with what is there instead (None: nothing)."""
    not_reached: str = ""
    """Why it was not probed."""

    def as_dict(self) -> dict[str, Any]:
        found = [
            {"kind": one.kind, "name": one.name, "expected": one.value, "found": value}
            for one, value in self.differences
        ]
        return {"host": self.node, "differences": found, "not_reached": self.not_reached or None}


@dataclass(frozen=True)
class SiteDrift:
    """The result for one site. Without ``problems`` and ``failure``, all of its hosts have been probed."""

    site: str
    file: Path
    hosts: Sequence[HostDrift] = ()
    reapply: str = ""
    """A new value for `reapply` of the hosts that differ: no host of the site has it."""
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
class _Progress:
    """How many hosts have been probed, and limits on what happens at once."""

    hosts: int
    tell: Tell
    done: int = 0
    sites: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_SITES_AT_ONCE))
    engines: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ENGINES_AT_ONCE))

    def one_more(self) -> None:
        self.done += 1
        self.tell(self.done, self.hosts)


@dataclass(frozen=True)
class Planned:
    """A site that can be probed."""

    spec: SiteSpec
    file: Path
    expected: Mapping[str, Sequence[Expected]]
    """By the host's name."""


def remember(found: Report, root: Path) -> None:
    """Keep what was seen, for `edge status`. A site that was not looked at keeps what was seen before."""
    at = drift_seen.now()
    for site in found.sites:
        if site.hosts and not (site.problems or site.failure):
            drifted, lost = ([host.name for host in hosts] for hosts in (site.drifted, site.not_reached))
            drift_seen.remember(site.site, Seen(at, len(site.hosts), tuple(drifted), tuple(lost)), root)


def find_drift(files: Sequence[Path], root: Path = PROJECT_ROOT, tell: Tell = lambda _done, _hosts: None) -> Report:
    """Probe every host of the sites in ``files``, side by side. A host or site that cannot be probed stops no other.

    Raises ``EngineError`` where there is no engine to read secrets with.
    """
    started = time.monotonic()
    sites = asyncio.run(_find([_planned(file, root) for file in files], root, tell))
    return Report(sites, time.monotonic() - started)


def probe_site(site: Planned, login: Login, tell: Tell) -> SiteDrift:
    """Probe the hosts of one site logged in to by ``login``."""

    async def probed() -> SiteDrift:
        return await _probed(site, login, _Progress(len(site.spec.hosts), tell))

    return asyncio.run(probed())


def planned(site: EdgeSite, file: Path) -> Planned:
    """A site that its program has built."""
    return Planned(site.spec, file, {host.spec.name: tuple(host.expected) for host in site.hosts})


def expectations(
    spec: SiteSpec, config: Mapping[str, str], file: Path | None = None, root: Path = PROJECT_ROOT
) -> Mapping[str, Sequence[Expected]]:
    """What each host of a site should hold, by its name, according to the program that `up` runs."""
    file = file or site_file(root, spec.site)
    made: list[EdgeSite] = []
    recorded(spec, rehearsed(spec, config, file, root), root, built=made.append)
    if not made:
        raise OperationError(f"{root / '__main__.py'} does not build the site: it must call `build`.")
    return planned(made[0], file).expected


def _planned(file: Path, root: Path) -> Planned | SiteDrift:
    """The site of ``file``, or what is wrong with it."""
    try:
        spec = load_site(file, root=root)
    except FileError as error:
        return SiteDrift(file.stem, file, problems=error.problems)
    try:
        settings = read_settings(root, spec.site)
        require(spec, settings)
        return Planned(spec, file, expectations(spec, settings.plain, file, root))
    except OperationError as error:
        return SiteDrift(spec.site, file, failure=error)
    except Exception as error:
        # It would stop `up` of this site too. The other sites are probed nevertheless.
        what = f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
        return SiteDrift(spec.site, file, failure=OperationError(f"The program of {spec.site} stops: {what}"))


async def _find(planned: Sequence[Planned | SiteDrift], root: Path, tell: Tell) -> list[SiteDrift]:
    progress = _Progress(sum(len(site.spec.hosts) for site in planned if isinstance(site, Planned)), tell)
    tell(0, progress.hosts)
    return await asyncio.gather(*(_site(site, root, progress) for site in planned))


async def _site(site: Planned | SiteDrift, root: Path, progress: _Progress) -> SiteDrift:
    if isinstance(site, SiteDrift):
        return site
    if not site.spec.hosts:
        return SiteDrift(site.spec.site, site.file)
    try:
        async with progress.engines:
            login = await asyncio.to_thread(login_of_stack, site.spec, site.file, root)
    except OperationError as error:
        return SiteDrift(site.spec.site, site.file, failure=error)
    async with progress.sites:
        return await _probed(site, login, progress)


async def _probed(site: Planned, login: Login, progress: _Progress) -> SiteDrift:
    try:
        async with connected(site.spec, login) as hosts:
            found = await asyncio.gather(*(_host(site, host, hosts, progress) for host in site.spec.hosts))
    except OperationError as error:
        return SiteDrift(site.spec.site, site.file, failure=error)
    return SiteDrift(site.spec.site, site.file, found, reapply=_new_reapply(site.spec.hosts))


async def _host(site: Planned, host: HostSpec, hosts: Hosts, progress: _Progress) -> HostDrift:
    node, expected = site.spec.node(host), site.expected[host.name]
    try:
        printed = await hosts.run(host, probe(), asked(expected))
    except NotAnswered as error:
        return HostDrift(host.name, node, not_reached=str(error))
    finally:
        progress.one_more()
    return HostDrift(host.name, node, differences(expected, answers(printed)))


def _new_reapply(hosts: Sequence[HostSpec]) -> str:
    """Today's date, with a number where a host has today's date already."""
    taken, today = {host.reapply for host in hosts}, date.today().isoformat()
    values = (today if number == 1 else f"{today}.{number}" for number in count(1))
    return next(value for value in values if value not in taken)
