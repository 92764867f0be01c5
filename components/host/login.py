"""The secrets by which hosts are logged in to: which a site needs, by how it reaches them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from components.host.spec import SshSpec

PRIVATE_KEY, PASSPHRASE, SUDO_PASSWORD = "ssh-private-key", "ssh-key-passphrase", "sudo-password"


def sudo_password(ssh: SshSpec) -> str | None:
    """Key of the password that sudo asks for; None where it asks for none."""
    if ssh.sudo != "password":
        return None
    return SUDO_PASSWORD if ssh.sudo_login is None else f"{SUDO_PASSWORD}-{ssh.sudo_login}"


def secrets(ways: Iterable[SshSpec]) -> Mapping[str, str]:
    """Key -> why, of what the stack must hold to reach hosts in these ways."""
    ways = tuple(ways)
    passwords = dict.fromkeys(key for key in map(sudo_password, ways) if key is not None)
    needed = {
        PRIVATE_KEY: ("SSH key that the hosts accept", any(one.login != "agent" for one in ways)),
        PASSPHRASE: ("passphrase of the SSH key", any(one.login == "key-with-passphrase" for one in ways)),
        **dict.fromkeys(passwords, ("password that sudo asks for on the hosts", True)),
    }
    return {key: why for key, (why, needs) in needed.items() if needs}
