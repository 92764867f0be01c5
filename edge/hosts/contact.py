"""Contact with the hosts that an `up` is about to change, before it changes anything.

The official command plugin waits without a limit for an SSH server that accepts a connection and stays silent, and it
reports a wrong host key behind a jump host as a lost connection. Both are found here within seconds. A host that does
not answer at all is left to the engine, which tries again as the site's `ssh` settings say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.host.spec import HostSpec
    from edge.hosts.login import Login
    from edge.run.failure import OperationError
    from edge.run.operation import Outcome
    from stacks.edge_site import EdgeSite
    from stacks.site import SiteSpec

_COMMAND = "command:remote:"
_CHANGING = frozenset({"create", "update", "replace", "delete"})


@dataclass
class Contact:
    """The hosts of one site and how to log in to them. Its program calls ``learn``."""

    site: SiteSpec | None = None
    commands: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Names of the commands that run on each host, by the host's name."""
    login: Login | None = None

    def learn(self, site: EdgeSite) -> None:
        """Take from a built site what is needed. Called within its program, where its settings can be read."""
        from edge.hosts.login import login_of_program

        self.site = site.spec
        self.commands = {host.spec.name: frozenset(host.commands) for host in site.hosts}
        self.login = login_of_program(site.spec)

    def refusal(self, planned: Outcome) -> OperationError | None:
        """Why ``planned`` cannot be carried out: a host that it changes answers, and cannot be logged in to."""
        changing = {
            change.name for change in planned.run.changes if change.op in _CHANGING and change.type.startswith(_COMMAND)
        }
        visited = [name for name, commands in self.commands.items() if changing & commands]
        if self.site is None or self.login is None or not visited:
            return None
        problems = unusable(self.site, self.login, visited)
        if not problems:
            return None
        from edge.run.failure import OperationError

        lines = "\n".join(f"  {name}: {why}" for name, why in problems.items())
        return OperationError(
            f"These hosts of {self.site.site} answer and cannot be used. Nothing was changed:\n{lines}",
            (f"edge doctor {self.site.site}     compares the host keys of all hosts with the site file",),
        )


def unusable(site: SiteSpec, login: Login, names: Iterable[str]) -> dict[str, str]:
    """The hosts among ``names`` that answer and that ``login`` cannot log in to, with the reason."""
    from edge.hosts.ssh import NotAnswered, connected

    by_name = {host.name: host for host in site.hosts}

    async def contacted() -> dict[str, str]:
        problems: dict[str, str] = {}

        async def one(host: HostSpec) -> None:
            try:
                await hosts.reach(host)
            except NotAnswered as error:
                if error.final:
                    problems[host.name] = str(error)

        async with connected(site, login) as hosts:
            await asyncio.gather(*(one(by_name[name]) for name in names))
        return problems

    return asyncio.run(contacted())
