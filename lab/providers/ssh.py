"""Connections to hosts over SSH: pinned keys, a jump host, patience, and an end to it when asked.

Owns dialling. What is done on a host is `command`'s. Errors are ``engine.rehearsal.protocol.Failure``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from components import addresses
from edge.hosts import host_keys
from engine.rehearsal.protocol import Failure

_DEFAULT_DIAL_ERRORS, _UNLIMITED = 10, -1
_DEFAULT_DIAL_TIMEOUT_S = 15
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _PAUSE_GROWTH = 0.1, 5.0, 1.5
"""The waits between attempts of Pulumi's own retries, which the official plugin uses."""
_KEEPALIVE_S, _KEEPALIVES_MISSED = 15, 4
"""A host that vanishes without a word is given up after a minute."""
_PARTING_S = 5

OnRetry = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One SSH server and how to log in there. ``private_key`` and ``password`` are never shown."""

    host: str
    port: int
    user: str
    host_key: str | None
    private_key: str | None = field(repr=False)
    private_key_password: str | None = field(repr=False)
    password: str | None = field(repr=False)
    agent: str | None
    dial_errors: int
    """How many failed attempts are put up with; the next one fails. -1: any number."""
    dial_timeout_s: float | None
    proxy: Endpoint | None = None

    @property
    def called(self) -> str:
        """What messages call it."""
        return f"{self.user}@{addresses.endpoint(self.host, self.port)}"


def endpoint(connection: Mapping[str, Any]) -> Endpoint:
    """The endpoint of a resource's ``connection`` (or of the ``proxy`` in it), secrets revealed."""
    timeout = float(_given(connection, "perDialTimeout", _DEFAULT_DIAL_TIMEOUT_S))
    proxy = connection.get("proxy")
    return Endpoint(
        host=str(connection["host"]),
        port=int(_given(connection, "port", 22)),
        user=str(_given(connection, "user", "root")),
        host_key=connection.get("hostKey"),
        private_key=connection.get("privateKey"),
        private_key_password=connection.get("privateKeyPassword"),
        password=connection.get("password"),
        agent=connection.get("agentSocketPath") or os.environ.get("SSH_AUTH_SOCK"),
        dial_errors=int(_given(connection, "dialErrorLimit", _DEFAULT_DIAL_ERRORS)),
        dial_timeout_s=timeout or None,
        proxy=endpoint(proxy) if proxy else None,
    )


def _given(values: Mapping[str, Any], key: str, default: Any) -> Any:
    found = values.get(key)
    return default if found is None else found


class Interrupted(Failure):
    """The run was interrupted while a host was being dialled."""


@asynccontextmanager
async def connected(
    target: Endpoint, interrupted: asyncio.Event, on_retry: OnRetry
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to ``target``, closed on leaving.

    Raises ``Failure`` when more attempts failed than the endpoint allows, at once when the host shows another key than
    the pinned one; ``Interrupted`` as soon as ``interrupted`` is set.
    """
    async with AsyncExitStack() as opened:
        tunnel = None
        if target.proxy is not None:
            tunnel = await _dial(target.proxy, None, interrupted, on_retry, opened)
        yield await _dial(target, tunnel, interrupted, on_retry, opened)


async def _dial(
    target: Endpoint,
    tunnel: asyncssh.SSHClientConnection | None,
    interrupted: asyncio.Event,
    on_retry: OnRetry,
    opened: AsyncExitStack,
) -> asyncssh.SSHClientConnection:
    options = await _options(target, opened)
    failed, pause = 0, _FIRST_PAUSE_S
    limit = "any number" if target.dial_errors == _UNLIMITED else str(target.dial_errors)
    while True:
        attempt = asyncio.ensure_future(_attempt(target, tunnel, options))
        if not await _before(interrupted, attempt):
            raise Interrupted(f"{target.called}: interrupted while dialling (failed attempts: {failed})")
        try:
            connection = attempt.result()
        except (TimeoutError, OSError, asyncssh.Error) as error:
            failed += 1
            why = _reason(error)
            if target.dial_errors != _UNLIMITED and failed > target.dial_errors:
                raise Failure(
                    f"{target.called} cannot be reached (failed attempts: {failed}, the last: {why})"
                ) from None
            on_retry(f"dialling {target.called}: attempt {failed} failed ({limit} allowed), trying again: {why}")
        else:
            opened.push_async_callback(_closed, connection)
            return connection
        if await _passed(interrupted, pause):
            raise Interrupted(f"{target.called}: interrupted while dialling (failed attempts: {failed})")
        pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE_S)


async def _before(interrupted: asyncio.Event, attempt: asyncio.Future[Any]) -> bool:
    """Whether ``attempt`` ended first; it is cancelled otherwise."""
    waiter = asyncio.ensure_future(interrupted.wait())
    try:
        await asyncio.wait([waiter, attempt], return_when=asyncio.FIRST_COMPLETED)
        return attempt.done()
    finally:
        waiter.cancel()
        if not attempt.done():
            attempt.cancel()


async def _passed(event: asyncio.Event, seconds: float) -> bool:
    """Whether ``event`` came within ``seconds``."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _closed(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    try:
        await asyncio.wait_for(connection.wait_closed(), _PARTING_S)
    except TimeoutError:
        connection.abort()


async def _attempt(
    target: Endpoint, tunnel: asyncssh.SSHClientConnection | None, options: Mapping[str, Any]
) -> asyncssh.SSHClientConnection:
    client = _Client(target.host_key)
    try:
        return await asyncio.wait_for(
            asyncssh.connect(
                target.host, target.port, tunnel=tunnel or (), client_factory=lambda: client, config=None, **options
            ),
            target.dial_timeout_s,
        )
    except asyncssh.HostKeyNotVerifiable:
        raise Failure(client.refusal(target)) from None


class _Client(asyncssh.SSHClient):
    """Takes exactly the pinned key, and remembers what the host showed instead."""

    def __init__(self, pinned: str | None) -> None:
        self._pinned = asyncssh.import_public_key(pinned) if pinned else None
        self._shown: asyncssh.SSHKey | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Called by asyncssh for every key, as there are no known hosts beside the pinned key."""
        self._shown = key
        return self._pinned is None or key == self._pinned

    def refusal(self, target: Endpoint) -> str:
        """Why the host was refused."""
        expected = _key(self._pinned) if self._pinned else "no key"
        found = _key(self._shown) if self._shown else "a certificate"
        return (
            f"{target.called} is refused: its host key is not the pinned one. Expected {expected}, found {found}. "
            "Either another machine answers at this address, or the host was installed anew and its `host_key` is old."
        )


def _key(key: asyncssh.SSHKey) -> str:
    return f"{key.get_algorithm()} {key.get_fingerprint()}"


async def _options(target: Endpoint, opened: AsyncExitStack) -> dict[str, Any]:
    """asyncssh's options: nothing is taken from the files of the user who runs this."""
    options: dict[str, Any] = {
        "username": target.user,
        "known_hosts": None if target.host_key is None else ([], [], []),
        "client_keys": await _keys(target, opened),
        "agent_path": None,
        "password": target.password,
        "preferred_auth": "publickey,password,keyboard-interactive",
        "keepalive_interval": _KEEPALIVE_S,
        "keepalive_count_max": _KEEPALIVES_MISSED,
        "login_timeout": 0,
    }
    if target.host_key is not None:
        try:
            pinned = asyncssh.import_public_key(target.host_key)
        except asyncssh.KeyImportError:
            raise Failure(f"{target.called}: the pinned host key is not an SSH public key") from None
        options["server_host_key_algs"] = host_keys.offered(pinned)
    return options


async def _keys(target: Endpoint, opened: AsyncExitStack) -> Any:
    if target.private_key is not None:
        try:
            return [asyncssh.import_private_key(target.private_key, target.private_key_password)]
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            # The library's messages name the fault, never the key.
            raise Failure(f"{target.called}: the private key cannot be read: {error}") from None
    if target.agent is not None:
        try:
            agent = await opened.enter_async_context(asyncssh.connect_agent(target.agent))
            return await agent.get_keys()
        except OSError as error:
            raise Failure(f"{target.called}: no SSH agent at {target.agent}: {error.strerror or error}") from None
    return None


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(error, asyncssh.PermissionDenied):
        return "the login was refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
