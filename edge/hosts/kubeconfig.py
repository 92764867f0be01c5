"""The kubeconfig of a site for its operator: read from a server over SSH, with an address that answers from here.

It comes from the host and not from the stack's state, so that it is as new as the host's own. It is never printed.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from components import ports
from components.addresses import endpoint
from components.host.machine import Machine
from components.k3s.credential import Credential, credential_of
from components.k3s.plan import api_host, show_kubeconfig
from edge.exit_codes import BAD_INPUT
from edge.hosts.login import Login, login_of_stack, require
from edge.hosts.ssh import NotAnswered, connected
from edge.run.failure import OperationError
from edge.run.stack_settings import read_settings
from stacks.catalogue import catalogue
from stacks.loader import load_site
from stacks.parts import places, view
from stacks.site import SiteSpec

_REACHED_AT = re.compile(r"^# reached at ([A-Za-z0-9.:_-]+)$", re.MULTILINE)
_CONNECTS_WITHIN_S = 3

Reachable = Callable[[str], bool]
"""Whether something listens on the API's port of a name or an address."""


@dataclass(frozen=True)
class Kubeconfig:
    """The administrator's access to the cluster of one site."""

    site: str
    host: str
    """The server that it was read from."""
    address: str
    """Where the API is reached: in the mesh if there is one that answers from here."""
    answers: bool
    """Whether the API's port could be reached there."""
    server_name: str
    """What the API's certificate is good for."""
    authority: str = field(repr=False)
    user: Mapping[str, Any] = field(repr=False)
    credential: Credential

    @property
    def server(self) -> str:
        return f"https://{endpoint(self.address, ports.KUBERNETES_API)}"

    @property
    def cluster(self) -> dict[str, Any]:
        """The entry below `clusters`. The authority stays pinned, whatever the way to the API."""
        renamed = {} if self.address == self.server_name else {"tls-server-name": self.server_name}
        return {"server": self.server, "certificate-authority-data": self.authority, **renamed}


def listens(address: str) -> bool:
    """See ``Reachable``."""
    try:
        with socket.create_connection((address, ports.KUBERNETES_API), timeout=_CONNECTS_WITHIN_S):
            return True
    except OSError:
        return False


def read_kubeconfig(site: str, root: Path, reachable: Reachable = listens) -> Kubeconfig:
    """The kubeconfig of ``site``, an id or the path of a site file.

    Raises ``FileError`` and ``OperationError``.
    """
    spec = load_site(site, root=root)
    if spec.k3s is None or not spec.servers:
        raise OperationError(
            f"{spec.site} has no K3s: a cloud brings its cluster, and access to it.",
            ("aws eks update-kubeconfig --name CLUSTER     for EKS on an Outpost",),
            code=BAD_INPUT,
        )
    require(spec, read_settings(root, spec.site))
    login = login_of_stack(spec, site, root)
    servers = [machine for machine in view(spec, catalogue(root)).machines if machine.is_server]
    host, printed = asyncio.run(_printed(spec, servers, login))
    found = _parsed(spec.site, host, printed)
    known = api_host(spec.k3s, servers)
    candidates = list(dict.fromkeys([*_REACHED_AT.findall(printed), known]))
    address = next((one for one in candidates if reachable(one)), None)
    made = Kubeconfig(
        site=spec.site,
        host=host,
        address=address or candidates[0],
        answers=address is not None,
        server_name=known,
        authority=found.authority,
        user=found.user,
        credential=found.credential,
    )
    if made.credential.ends <= datetime.now(UTC):
        raise OperationError(
            f"The kubeconfig on {host} was valid until {made.credential.until}: K3s renews it when it starts.",
            (f"edge up {spec.site}     restarts K3s there for it, and reads the new one",),
        )
    return made


async def _printed(spec: SiteSpec, servers: Sequence[Machine], login: Login) -> tuple[str, str]:
    """Name of the first server that answers, and what it printed."""
    reasons = []
    async with connected(spec, login) as hosts:
        for server in servers:
            try:
                return server.name, await hosts.run(server.spec, show_kubeconfig(places(spec, server)), "\n")
            except NotAnswered as error:
                reasons.append(f"  {server.name}: {error}")
    lines = "\n".join(reasons)
    raise OperationError(
        f"No server of {spec.site} gave its kubeconfig:\n{lines}",
        (f"edge doctor {spec.site}     looks at all hosts",),
    )


@dataclass(frozen=True)
class _Parsed:
    authority: str
    user: Mapping[str, Any]
    credential: Credential


def _parsed(site: str, host: str, printed: str) -> _Parsed:
    try:
        document = yaml.load(printed, Loader=yaml.CSafeLoader)
        (cluster,), (user,) = document["clusters"], document["users"]
        credential = credential_of(printed)
        if credential is None:
            raise ValueError
        return _Parsed(cluster["cluster"]["certificate-authority-data"], user["user"], credential)
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        # What it printed may hold a key: it is not quoted.
        raise OperationError(
            f"What {host} of {site} has as /etc/rancher/k3s/k3s.yaml is not a kubeconfig of K3s.",
            (f"edge drift {site}     compares the hosts with what is planned",),
        ) from None
