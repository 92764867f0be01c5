"""What logs in to the hosts of one site: secrets of its stack, in memory only; or the SSH agent of who runs `edge`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.host import login
from edge.run.failure import secrets_missing
from edge.run.operation import opened_stack
from edge.run.stack_settings import StackSettings
from stacks.configuration import full_key
from stacks.site import SiteSpec


@dataclass(frozen=True)
class Login:
    """The secrets by key; those that the site does not need are not there."""

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def private_key(self) -> str:
        return self.secrets.get(login.PRIVATE_KEY, "")

    @property
    def passphrase(self) -> str | None:
        return self.secrets.get(login.PASSPHRASE)

    def sudo_password(self, key: str) -> str:
        """The one that sudo asks for on hosts that name ``key``."""
        return self.secrets.get(key, "")


def _needed(spec: SiteSpec) -> Mapping[str, str]:
    return login.secrets(spec.ssh_of(host) for host in spec.hosts)


def login_by(spec: SiteSpec, secret: Callable[[str], str]) -> Login:
    """What a site needs, of what ``secret`` gives by key."""
    return Login({key: secret(key) for key in _needed(spec)})


def login_of_program(spec: SiteSpec) -> Login:
    """Called within the program of a site, whose settings can be read there."""
    from pulumi.runtime import get_config

    return login_by(spec, lambda key: get_config(full_key(key)) or "")


def login_of_stack(spec: SiteSpec, file: Path | str, root: Path) -> Login:
    """From the stack of a site. Raises ``OperationError``."""
    if not _needed(spec):
        return Login()
    with opened_stack(str(file), rehearse=False, root=root) as session:
        return login_by(spec, session.secret)


def require(spec: SiteSpec, settings: StackSettings) -> None:
    """Raises ``OperationError`` where the stack lacks what logs in to its hosts."""
    if missing := [need for need in settings.missing(spec) if need.key in _needed(spec)]:
        raise secrets_missing(spec.site, missing)
