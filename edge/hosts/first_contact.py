"""The host key of a machine that no site file knows yet. Nothing but a person, or a fingerprint, makes it trusted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import asyncssh

from components import addresses, ports
from edge.run.failure import OperationError
from sitefile.problems import printable

LIMIT_S = 15
_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
"""Kinds that a site file may have, the best first."""


@dataclass(frozen=True)
class ShownKey:
    """What a machine says its host key is."""

    key: str
    """As a site file has it."""
    fingerprint: str
    """SHA-256, as `ssh-keygen -l` and a console show it."""


def read_host_key(address: str, port: int = ports.SSH) -> ShownKey:
    """The host key that answers at an address. Does not log in. Raises ``OperationError``."""
    try:
        key = asyncio.run(_read(address, port))
    except TimeoutError:
        raise _unread(address, port, f"no answer within {LIMIT_S} s") from None
    except (OSError, asyncssh.Error) as error:
        raise _unread(address, port, printable(str(error)) or type(error).__name__) from None
    if key is None:
        raise _unread(address, port, f"it offers none of {', '.join(_KINDS)}")
    return ShownKey(" ".join(key.export_public_key().decode().split()[:2]), key.get_fingerprint())


async def _read(address: str, port: int) -> asyncssh.SSHKey | None:
    async with asyncio.timeout(LIMIT_S):
        return await asyncssh.get_server_host_key(address, port, config=None, server_host_key_algs=list(_KINDS))


def _unread(address: str, port: int, why: str) -> OperationError:
    where = address if port == ports.SSH else addresses.endpoint(address, port)
    return OperationError(
        f"The host key at {where} cannot be read: {why}.",
        (
            "is the machine on, and is this machine in its network?",
            "on its console: cat /etc/ssh/ssh_host_ed25519_key.pub     shows the key, for --host-key",
        ),
    )


def check_fingerprint(name: str, shown: ShownKey, expected: str) -> None:
    """Raises ``OperationError`` where a machine's key is not the one that a person has seen elsewhere."""
    wanted = expected if expected.startswith("SHA256:") else f"SHA256:{expected}"
    if wanted.rstrip("=") != shown.fingerprint:
        raise OperationError(
            f"The host key of {name} has the fingerprint {shown.fingerprint}, expected {printable(wanted)}: "
            "this is another machine, or something between here and there answers for it.",
            ("on its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub     shows its own fingerprint",),
        )
