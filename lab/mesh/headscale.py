"""Headscale on this machine's side of a lab's network: control plane and relay of a tailnet of the lab's own."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from components.addresses import endpoint
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.builds import run_tool
from lab.hosts.system import LabError, tail, wait_until
from lab.mesh import programs

DOMAIN = "mesh.lab"
"""What names in the tailnet end in."""

_PORT = 8443
_START_S = 30.0


@dataclass(frozen=True)
class Device:
    """A host as the tailnet knows it."""

    id: int
    name: str
    """Its name in the tailnet, without `DOMAIN`."""
    addresses: tuple[str, ...]
    """IPv4 first, then IPv6."""
    tags: tuple[str, ...]
    online: bool
    expired: bool
    """Whether it has left: it may not come back without a key."""


class Headscale:
    """Runs until the block ends. ``policy`` is in Tailscale's form, as the fleet's program writes it.

    Raises EngineError where it cannot be built, LabError with its last words where it does not start.
    """

    def __init__(self, authority: Authority, address: str, policy: Mapping[str, Any]) -> None:
        self._authority, self._address, self._policy = authority, address, policy
        self._program = programs.headscale()

    def __enter__(self) -> Headscale:
        self._folder = tempfile.TemporaryDirectory(prefix="edge-lab-headscale-")
        self._path("config.yaml").write_text(yaml.safe_dump(self._settings()))
        self._path("policy.json").write_text(json.dumps(acls_of(self._policy)))
        log = self._path("log")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*self._command(), "serve"], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            wait_until(lambda: self._process.poll() is not None or self._healthy(), "Headscale", deadline_s=_START_S)
            if self._process.poll() is not None:
                raise LabError(f"Headscale did not start:\n{tail(log)}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """The site's `mesh.login_server`."""
        return f"https://{endpoint(self._address, _PORT)}"

    def key(self, tags: Sequence[str], *, expiry: str = "1h") -> str:
        """A new reusable key that carries ``tags`` (`tag:...`): a site's secret `tailscale-auth-key`."""
        told = self._ask("preauthkeys", "create", "--reusable", "--expiration", expiry, "--tags", ",".join(tags))
        return str(told["key"])

    def devices(self) -> dict[str, Device]:
        """All devices by name, those that have left among them."""
        return {node["given_name"]: _device(node) for node in self._ask("nodes", "list") or ()}

    def remove(self, name: str) -> None:
        """Forgets the device ``name``, as an operator does before its host is reinstalled."""
        self._ask("nodes", "delete", "--force", "--identifier", str(self.devices()[name].id))

    def log(self) -> str:
        """All that it has said so far."""
        return self._path("log").read_text()

    def _settings(self) -> dict[str, Any]:
        certificate, key = self._authority.certificate(self._address)
        return {
            "server_url": self.url,
            "listen_addr": endpoint(self._address, _PORT),
            "grpc_listen_addr": endpoint(self._address, 50443),
            "metrics_listen_addr": "",
            "tls_cert_path": str(certificate),
            "tls_key_path": str(key),
            "unix_socket": str(self._path("socket")),
            "noise": {"private_key_path": str(self._path("noise.key"))},
            "prefixes": {"v4": "100.64.0.0/10", "v6": "fd7a:115c:a1e0::/48"},
            "database": {"type": "sqlite", "sqlite": {"path": str(self._path("db.sqlite"))}},
            # The only relay: no host of the lab looks for one of Tailscale's.
            "derp": {
                "urls": [],
                "auto_update_enabled": False,
                "server": {
                    "enabled": True,
                    "region_id": 999,
                    "region_code": "lab",
                    "region_name": "Lab",
                    "stun_listen_addr": endpoint(self._address, 3478),
                    "private_key_path": str(self._path("derp.key")),
                    "ipv6" if ":" in self._address else "ipv4": self._address,
                },
            },
            "dns": {"magic_dns": True, "base_domain": DOMAIN, "override_local_dns": False},
            "policy": {"mode": "file", "path": str(self._path("policy.json"))},
            "disable_check_updates": True,
            "logtail": {"enabled": False},
        }

    def _healthy(self) -> bool:
        try:
            self._ask("health")
        except EngineError:
            return False
        return True

    def _ask(self, *arguments: str) -> Any:
        told = run_tool([*self._command(), *arguments, "--output", "json"])
        return json.loads(told) if told.strip() else None

    def _command(self) -> list[str]:
        return [str(self._program), "--config", str(self._path("config.yaml"))]

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / name


def acls_of(policy: Mapping[str, Any]) -> dict[str, Any]:
    """``policy`` in the form that Headscale 0.28 takes: it refuses `grants` and `tests`.

    Grants become rules that say the same. The policy's own tests are left out; `tests/lab` runs them between hosts.
    """
    rules = [
        {"action": "accept", "proto": protocol, "src": grant["src"], "dst": [f"{one}:{port}" for one in grant["dst"]]}
        for grant in policy["grants"]
        for protocol, _, port in (allowed.partition(":") for allowed in grant["ip"])
    ]
    # Never without: Headscale takes a policy that has no rules at all for one that allows everything.
    return {**{key: value for key, value in policy.items() if key not in ("grants", "tests")}, "acls": rules}


def _device(node: Mapping[str, Any]) -> Device:
    expiry = node.get("expiry", {}).get("seconds", 0)
    return Device(
        id=node["id"],
        name=node["given_name"],
        addresses=tuple(node["ip_addresses"]),
        tags=tuple(node.get("tags", ())),
        online=node.get("online", False),
        expired=0 < expiry <= datetime.now(UTC).timestamp(),
    )
