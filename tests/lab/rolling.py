"""Servers of one cluster that restart, watched from outside: how many are down, how many take no pods, and the API.

A machine that restarts comes back by itself; a host of the lab does so here.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from lab.hosts.host import LabHost

_PORT = 6443
_POLL_S = 0.25
_ANSWER_S = 3
_READ = "/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt"
"""A read of one object, which the API asks a quorum for."""


class Watched:
    """Watches the servers ``hosts`` (name -> host) by threads of its own until the block ends."""

    def __init__(self, hosts: Mapping[str, LabHost], folder: Path) -> None:
        self.restarts: dict[str, int] = dict.fromkeys(hosts, 0)
        """How often each has begun to go down."""
        self.most_down = 0
        """How many were down at the same time, at most. A server is down from when its port is closed to when it says
        that it is ready."""
        self.longest_silence_s = 0.0
        """Longest time in which no server answered a read that needs a quorum, in seconds."""
        self.most_cordoned = 0
        """How many took no pods at the same time, at most."""
        self.answers = 0
        """How many of those reads were answered."""
        self._hosts, self._down = hosts, set[str]()
        self._context = _context(next(iter(hosts.values())), folder)
        self._end, self._lock = threading.Event(), threading.Lock()

    def __enter__(self) -> Watched:
        each = [threading.Thread(target=self._repeat, args=(self._server, name)) for name in self._hosts]
        self._threads = [
            *each,
            threading.Thread(target=self._api),
            threading.Thread(target=self._repeat, args=(self._nodes,)),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    @property
    def down(self) -> set[str]:
        """Servers that are down now."""
        with self._lock:
            return set(self._down)

    def _repeat(self, look: Callable[..., None], *of: str) -> None:
        while not self._end.wait(_POLL_S):
            look(*of)

    def _server(self, name: str) -> None:
        host = self._hosts[name]
        if host.pid is None:
            host.power_on()
        if not _listens(host.address):
            with self._lock:
                if name not in self._down:
                    self._down.add(name)
                    self.restarts[name] += 1
                self.most_down = max(self.most_down, len(self._down))
        elif name in self._down and self._get(host.address, "/readyz") == b"ok":
            with self._lock:
                self._down.discard(name)

    def _nodes(self) -> None:
        if nodes := self._any("/api/v1/nodes"):
            cordoned = sum(bool(item["spec"].get("unschedulable")) for item in json.loads(nodes)["items"])
            self.most_cordoned = max(self.most_cordoned, cordoned)

    def _api(self) -> None:
        last = time.monotonic()
        while not self._end.wait(_POLL_S):
            if self._any(_READ):
                self.answers += 1
                last = time.monotonic()
            self.longest_silence_s = max(self.longest_silence_s, time.monotonic() - last)

    def _any(self, path: str) -> bytes:
        """From the first server that answers; empty where none does."""
        return next((said for host in self._hosts.values() if (said := self._get(host.address, path))), b"")

    def _get(self, address: str, path: str) -> bytes:
        connection = http.client.HTTPSConnection(address, _PORT, context=self._context, timeout=_ANSWER_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            said = answer.read()
            return said if answer.status == 200 else b""
        except (OSError, http.client.HTTPException):
            return b""
        finally:
            connection.close()


def _listens(address: str) -> bool:
    try:
        socket.create_connection((address, _PORT), timeout=1).close()
    except OSError:
        return False
    return True


def _context(server: LabHost, folder: Path) -> ssl.SSLContext:
    """As the operator of ``server`` asks the API."""
    known = yaml.safe_load(server.run("cat /etc/rancher/k3s/k3s.yaml").stdout)
    user, cluster = known["users"][0]["user"], known["clusters"][0]["cluster"]
    pair = folder / "operator.pem"
    pair.touch(mode=0o600)
    pair.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    context.load_cert_chain(pair)
    return context
