"""The secrets by which hosts are logged in to: which a site needs, by how it reaches them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from components.host.spec import SshSpec

PRIVATE_KEY, PASSPHRASE, SUDO_PASSWORD = "ssh-private-key", "ssh-key-passphrase", "sudo-password"
KEYS = (PRIVATE_KEY, PASSPHRASE, SUDO_PASSWORD)


def secrets(ways: Iterable[SshSpec]) -> Mapping[str, str]:
    """Key -> why, of what the stack must hold to reach hosts in these ways."""
    ways = tuple(ways)
    needed = {
        PRIVATE_KEY: ("SSH key that the hosts accept", any(one.login != "agent" for one in ways)),
        PASSPHRASE: ("passphrase of the SSH key", any(one.login == "key-with-passphrase" for one in ways)),
        SUDO_PASSWORD: ("password that sudo asks for on the hosts", any(one.sudo == "password" for one in ways)),
    }
    return {key: why for key, (why, needs) in needed.items() if needs}
