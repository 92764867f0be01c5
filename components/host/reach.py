"""How a host is reached by SSH: its connection, and what starts a script as root on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
from pulumi_command import remote

from components.host import login
from components.host.machine import Machine
from components.shell import as_root, with_password

Secret = Callable[[str], pulumi.Input[str]]
"""Gives a secret of ``components.host.login``."""


class Reach:
    """The way to one host: through another host of the site, a bastion outside of it, or neither."""

    def __init__(self, machine: Machine, secret: Secret, through: Reach | None = None) -> None:
        self._machine, self._ssh, self._through = machine, machine.ssh, through

        def of(key: str, needed: bool) -> pulumi.Output[str] | None:
            return pulumi.Output.secret(secret(key)) if needed else None

        self._private_key = of(login.PRIVATE_KEY, self._ssh.login != "agent")
        self._passphrase = of(login.PASSPHRASE, self._ssh.login == "key-with-passphrase")
        self._asked = login.sudo_password(self._ssh)
        self._sudo_password = of(self._asked, True) if self._asked else None

    def connection(self, dial_attempts: int, host_key: pulumi.Input[str] | None = None) -> remote.ConnectionArgs:
        """With every key pinned; ``host_key`` in place of the one that the site file has."""
        proxy, bastion = None, self._machine.bastion
        if self._through is not None:
            proxy = remote.ProxyConnectionArgs(**self._through._endpoint(dial_attempts))
        elif bastion is not None:
            own = {"host": bastion.address, "port": float(bastion.port), "host_key": bastion.host_key}
            user = {"user": bastion.user} if bastion.user else {}
            proxy = remote.ProxyConnectionArgs(**{**self._endpoint(dial_attempts), **own, **user})
        key = {} if host_key is None else {"host_key": host_key}
        return remote.ConnectionArgs(**{**self._endpoint(dial_attempts), **key}, proxy=proxy)

    def _endpoint(self, dial_attempts: int) -> dict[str, Any]:
        """One end of a connection. Without a key, the plugin asks the agent at SSH_AUTH_SOCK."""
        return {
            "host": self._machine.spec.address,
            "port": float(self._ssh.port),
            "user": self._ssh.user,
            "private_key": self._private_key,
            "private_key_password": self._passphrase,
            "host_key": self._machine.spec.host_key,
            "dial_error_limit": dial_attempts,
            "per_dial_timeout": self._ssh.dial_timeout_s,
        }

    def started(self, script: str) -> str:
        """The command that runs ``script`` as root."""
        return as_root(script, self._ssh.user, password=self._asked)

    def stdin(self, text: pulumi.Input[str] | None) -> pulumi.Output[str] | None:
        """Standard input of such a command, as a secret: ``text``, behind the password that sudo asks for, if any."""
        if self._sudo_password is not None:
            return pulumi.Output.secret(
                pulumi.Output.all(self._sudo_password, text or "").apply(lambda both: with_password(*both))
            )
        return None if text is None else pulumi.Output.secret(text)
