"""Host key algorithms that a client offers when it has pinned one key of the host."""

from __future__ import annotations

import asyncssh

_KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


def offered(pinned: asyncssh.SSHKey) -> list[str]:
    """asyncssh's ``server_host_key_algs``: the algorithms of the pinned key, then all others.

    With only the pinned algorithms, a host without such a key closes the connection, which looks like a network
    failure. The connection must accept the pinned key only, whatever the host shows.
    """
    own = [algorithm.decode() for algorithm in pinned.sig_algorithms]
    return [*own, *(other for other in _KINDS if other not in own)]
