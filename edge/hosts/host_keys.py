"""Which kinds of host key a host is offered, for whoever has pinned one of its keys."""

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
    """asyncssh's ``server_host_key_algs``: a host with keys of several kinds shows the pinned one, another what it has.

    Offered the pinned kind only, a host without it hangs up, which looks like a lost connection. Only the pinned key is
    to be accepted, whatever is shown.
    """
    own = [algorithm.decode() for algorithm in pinned.sig_algorithms]
    return [*own, *(other for other in _KINDS if other not in own)]
