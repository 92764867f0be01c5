"""SSH connections to the hosts of one site: pinned host keys, jump hosts, one connection for each host.

Owns connections, and the messages for failed ones. Uses no SSH configuration, agent or known hosts of the user; the
private key stays in memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh

from components.host.spec import HostSpec
from edge.hosts import host_keys
from edge.run.failure import OperationError
from stacks.site import SiteSpec

_KEEPALIVE_S, _KEEPALIVES_MISSED = 15, 4
_SCRIPT_LIMIT_S = 120
"""Hashing a release takes some seconds on a slow board; a disk that hangs never answers."""
_CLOSE_S = 2


class NotAnswered(Exception):
    """Why a host could not be probed. ``final``: it answered, and another attempt will end in the same way."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


class _Client(asyncssh.SSHClient):
    """Knows whether the other side has accepted the connection, whatever it does then."""

    accepted = False

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.accepted = True


class Hosts:
    """Made by ``connected``. A jump host is dialled once for all hosts behind it."""

    def __init__(self, spec: SiteSpec, key: asyncssh.SSHKey) -> None:
        self._ssh, self._key = spec.ssh, key
        self._by_name = {host.name: host for host in spec.hosts}
        self._dialled: dict[str, asyncio.Task[asyncssh.SSHClientConnection]] = {}

    async def run(self, host: HostSpec, command: str, stdin: str) -> str:
        """Standard output of ``command`` on ``host``, in a session of its own. Raises ``NotAnswered``."""
        connection = await self._connection(host)
        try:
            async with asyncio.timeout(_SCRIPT_LIMIT_S):
                done = await connection.run(command, input=stdin, errors="replace")
        except TimeoutError:
            raise NotAnswered(f"the probe timed out after {_SCRIPT_LIMIT_S} s") from None
        except (OSError, asyncssh.Error) as error:
            raise NotAnswered(f"the connection was lost: {_reason(error)}") from None
        if done.exit_status != 0:
            said = str(done.stderr or "").strip().splitlines() or ["no message"]
            raise NotAnswered(f"the probe failed: {said[-1].removeprefix('error: ')}")
        return str(done.stdout or "")

    async def reach(self, host: HostSpec) -> None:
        """Log in, and run nothing. Raises ``NotAnswered``."""
        await self._connection(host)

    async def close(self) -> None:
        """Cancel pending dials, then close connections: those through a jump host before the jump host's own."""
        for dial in self._dialled.values():
            dial.cancel()
        ended = await asyncio.gather(*self._dialled.values(), return_exceptions=True)
        connections = [one for one in reversed(ended) if isinstance(one, asyncssh.SSHClientConnection)]
        for connection in connections:
            connection.close()
        if connections:
            await asyncio.wait([asyncio.create_task(one.wait_closed()) for one in connections], timeout=_CLOSE_S)

    def _connection(self, host: HostSpec) -> asyncio.Task[asyncssh.SSHClientConnection]:
        if host.name not in self._dialled:
            self._dialled[host.name] = asyncio.create_task(self._dial(host))
        return self._dialled[host.name]

    async def _dial(self, host: HostSpec) -> asyncssh.SSHClientConnection:
        tunnel = None
        if host.via is not None:
            try:
                tunnel = await self._connection(self._by_name[host.via])
            except NotAnswered as error:
                why = f"jump host {host.via} could not be reached: {error}"
                raise NotAnswered(why, final=error.final) from None
        client = _Client()
        try:
            pinned = asyncssh.import_public_key(host.host_key)
            async with asyncio.timeout(self._ssh.dial_timeout_s):
                return await asyncssh.connect(
                    host.address,
                    self._ssh.port,
                    tunnel=tunnel or (),
                    client_factory=lambda: client,
                    config=None,
                    username=self._ssh.user,
                    client_keys=[self._key],
                    agent_path=None,
                    preferred_auth="publickey",
                    known_hosts=([pinned], [], []),
                    server_host_key_algs=host_keys.offered(pinned),
                    keepalive_interval=_KEEPALIVE_S,
                    keepalive_count_max=_KEEPALIVES_MISSED,
                )
        except TimeoutError:
            limit = f"within {self._ssh.dial_timeout_s} s"
            if client.accepted:
                why = f"its SSH server accepted the connection and did not complete the login {limit}"
                raise NotAnswered(why, final=True) from None
            raise NotAnswered(f"no answer {limit}") from None
        except asyncssh.PermissionDenied:
            raise NotAnswered(f"login as {self._ssh.user} was refused", final=True) from None
        except asyncssh.HostKeyNotVerifiable:
            why = (
                "its host key differs from the one in the site file: the host was reimaged, or this is another machine"
            )
            raise NotAnswered(why, final=True) from None
        except (OSError, ValueError, asyncssh.Error) as error:
            raise NotAnswered(_reason(error)) from None


@asynccontextmanager
async def connected(spec: SiteSpec, private_key: str) -> AsyncIterator[Hosts]:
    """The hosts of ``spec``, with ``private_key`` to log in. Raises ``OperationError`` for an unusable key."""
    try:
        key = asyncssh.import_private_key(private_key)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        # The library's messages never contain the key.
        raise OperationError(f"The secret ssh-private-key of {spec.site} cannot be used: {error}.") from None
    hosts = Hosts(spec, key)
    try:
        yield hosts
    finally:
        await hosts.close()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        # asyncio's own message describes its call instead.
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
