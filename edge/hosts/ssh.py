"""SSH connections to the hosts of one site: pinned host keys, jump hosts, one connection for each host.

Owns connections, and the messages for failed ones. Uses no SSH configuration or known hosts of the user, and an agent
only where the site says so; the private key stays in memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncssh

from components.host.login import sudo_password
from components.host.spec import HostSpec, SshSpec
from components.shell import as_root, with_password
from edge.hosts import host_keys
from edge.hosts.login import Login
from edge.run.failure import OperationError
from stacks.site import SiteSpec

_KEEPALIVE_S, _KEEPALIVES_MISSED = 15, 4
_SCRIPT_LIMIT_S = 120
"""Hashing a release takes some seconds on a slow board; a disk that hangs never answers."""
_CLOSE_S = 2

_Key = asyncssh.SSHKey | asyncssh.SSHKeyPair
_Dialled = str | tuple[str, SshSpec]
"""The name of a host; or the address of a bastion, and how it is logged in to."""


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

    def __init__(self, spec: SiteSpec, keys: Mapping[bool, Sequence[_Key]], login: Login) -> None:
        self._spec, self._keys, self._login = spec, keys, login
        self._by_name = {host.name: host for host in spec.hosts}
        self._dialled: dict[_Dialled, asyncio.Task[asyncssh.SSHClientConnection]] = {}

    async def run(self, host: HostSpec, script: str, stdin: str) -> str:
        """Standard output of ``script`` as root on ``host``, in a session of its own. Raises ``NotAnswered``."""
        connection = await self._connection(host)
        ssh = self._spec.ssh_of(host)
        password = sudo_password(ssh)
        command = as_root(script, ssh.user, password=password)
        if password is not None:
            stdin = with_password(self._login.sudo_password(password), stdin)
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
        return self._once(host.name, lambda: self._to_host(host))

    def _once(
        self, what: _Dialled, dial: Callable[[], Coroutine[Any, Any, asyncssh.SSHClientConnection]]
    ) -> asyncio.Task[asyncssh.SSHClientConnection]:
        if what not in self._dialled:
            self._dialled[what] = asyncio.create_task(dial())
        return self._dialled[what]

    async def _to_host(self, host: HostSpec) -> asyncssh.SSHClientConnection:
        ssh, bastion = self._spec.ssh_of(host), self._spec.bastion_of(host)
        tunnel = None
        try:
            if host.via is not None:
                between = f"jump host {host.via}"
                tunnel = await self._connection(self._by_name[host.via])
            elif bastion is not None:
                between = f"bastion {bastion.address}"
                user = bastion.user or ssh.user
                way = ssh.model_copy(update={"user": user, "port": bastion.port})
                tunnel = await self._once(
                    (bastion.address, way), lambda: self._dial(bastion.address, bastion.host_key, way, None)
                )
        except NotAnswered as error:
            raise NotAnswered(f"{between} could not be reached: {error}", final=error.final) from None
        return await self._dial(host.address, host.host_key, ssh, tunnel)

    async def _dial(
        self, address: str, host_key: str, ssh: SshSpec, tunnel: asyncssh.SSHClientConnection | None
    ) -> asyncssh.SSHClientConnection:
        client = _Client()
        try:
            pinned = asyncssh.import_public_key(host_key)
            async with asyncio.timeout(ssh.dial_timeout_s):
                return await asyncssh.connect(
                    address,
                    ssh.port,
                    tunnel=tunnel or (),
                    client_factory=lambda: client,
                    config=None,
                    username=ssh.user,
                    client_keys=list(self._keys[ssh.login == "agent"]),
                    agent_path=None,
                    preferred_auth="publickey",
                    known_hosts=([pinned], [], []),
                    server_host_key_algs=host_keys.offered(pinned),
                    keepalive_interval=_KEEPALIVE_S,
                    keepalive_count_max=_KEEPALIVES_MISSED,
                )
        except TimeoutError:
            limit = f"within {ssh.dial_timeout_s} s"
            if client.accepted:
                why = f"its SSH server accepted the connection and did not complete the login {limit}"
                raise NotAnswered(why, final=True) from None
            raise NotAnswered(f"no answer {limit}") from None
        except asyncssh.PermissionDenied:
            raise NotAnswered(f"login as {ssh.user} was refused", final=True) from None
        except asyncssh.HostKeyNotVerifiable:
            why = (
                "its host key differs from the one in the site file: the host was reimaged, or this is another machine"
            )
            raise NotAnswered(why, final=True) from None
        except (OSError, ValueError, asyncssh.Error) as error:
            raise NotAnswered(_reason(error)) from None


@asynccontextmanager
async def connected(spec: SiteSpec, login: Login) -> AsyncIterator[Hosts]:
    """The hosts of ``spec``, logged in to by ``login``. Raises ``OperationError`` for an unusable key or agent."""
    by_agent = {spec.ssh_of(host).login == "agent" for host in spec.hosts}
    async with AsyncExitStack() as opened:
        keys: dict[bool, Sequence[_Key]] = {}
        if True in by_agent:
            keys[True] = await _of_agent(spec, opened)
        if False in by_agent:
            keys[False] = [_of_stack(spec, login)]
        hosts = Hosts(spec, keys, login)
        opened.push_async_callback(hosts.close)
        yield hosts


def _of_stack(spec: SiteSpec, login: Login) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(login.private_key, login.passphrase)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        # The library's messages never contain the key.
        remedy = "" if login.passphrase else " If it has a passphrase, write `login: key-with-passphrase` below `ssh`."
        raise OperationError(f"The secret ssh-private-key of {spec.site} cannot be used: {error}.{remedy}") from None


async def _of_agent(spec: SiteSpec, opened: AsyncExitStack) -> Sequence[_Key]:
    path = os.environ.get("SSH_AUTH_SOCK", "")
    remedies = ("ssh-add FILE     gives the agent a key that the hosts accept; ssh-add -l shows those it has",)
    try:
        agent = await opened.enter_async_context(asyncssh.connect_agent(path)) if path else None
        keys = await agent.get_keys() if agent else []
    except (OSError, ValueError, asyncssh.Error) as error:
        raise OperationError(
            f"No SSH agent answers at {path}, and {spec.site} is logged in to by one: {_reason(error)}.", remedies
        ) from None
    if not keys:
        what = "the SSH agent has no key" if path else "SSH_AUTH_SOCK names no SSH agent"
        raise OperationError(
            f"{spec.site} is logged in to by an SSH agent (`ssh: {{login: agent}}`): {what}.", remedies
        )
    return keys


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        # asyncio's own message describes its call instead.
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
