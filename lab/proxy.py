"""A site's only way out: a forward proxy with a login, and beyond it an address that its hosts have no route to.

What is outside listens at ``Proxy.beyond``. The proxy is on this machine's side of the lab's network; the router that
the hosts send everything else to is not there.
"""

from __future__ import annotations

import http.client
import http.server
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lab.balancer import pass_on
from lab.hosts.lab import Lab
from lab.hosts.system import run
from lab.https import Answering, Server, authorization

_PORT = 3128
_CONNECT_S = 10
_OF_THE_CONNECTION = {"connection", "keep-alive", "proxy-authorization", "proxy-connection", "transfer-encoding"}


@dataclass(frozen=True)
class Request:
    """What somebody asked the proxy for."""

    client: str
    """Address of the host that asked, or whose pod did."""
    host: str
    port: int
    agent: str
    """What the program calls itself."""


class Proxy(Answering):
    """Answers at ``address`` until the block ends: CONNECT, and whole URLs of plain http.

    Lets nobody pass without ``login``, and to nothing but ``beyond``. Raises OSError when the address is not this
    machine's or the port is taken.
    """

    login = "edge:of the lab's proxy, p@ss/w%rd:0123456789"
    """The site's secret `proxy-login`: a URL and a shell would take some of it for something else."""

    def __init__(self, address: str, beyond: str) -> None:
        self.beyond = beyond
        self.passed: list[Request] = []
        """What went through, in order: all of it with the login."""
        self.without_login: list[Request] = []
        """What was asked for without the login, or with another one."""
        self.astray: list[Request] = []
        """What was asked for with the login and is not outside: it should never have come here."""
        self._at = (address, _PORT)

    def _open(self) -> Server:
        return Server(self._at, _handler(self))

    @property
    def site_block(self) -> dict[str, Any]:
        """The site's `network.proxy`."""
        return {"url": f"http://{self._at[0]}:{self._at[1]}", "login": True}

    def clients(self, port: int) -> set[str]:
        """Whom it has let through to that port of the outside."""
        return {request.client for request in self.passed if request.port == port}


@contextmanager
def only_way_out(lab: Lab) -> Iterator[Proxy]:
    """Until the block ends, the hosts of ``lab``, which are up, get out by this proxy only."""
    layout = lab.layout
    _, second, third, _ = layout.subnet.network_address.packed
    # Of the range for measurements (RFC 2544), which no network routes. It goes with the bridge, at the latest.
    beyond = f"198.18.{second}.{third or 1}"
    run(["ip", "address", "replace", f"{beyond}/32", "dev", layout.bridge])
    try:
        _route(lab, str(layout.subnet[-2]))
        with Proxy(str(layout.gateway), beyond) as proxy:
            yield proxy
    finally:
        _route(lab, str(layout.gateway))
        run(["ip", "address", "delete", f"{beyond}/32", "dev", layout.bridge], check=False)


def _route(lab: Lab, router: str) -> None:
    for host in lab.hosts.values():
        if host.pid is not None:
            host.run(f"ip route replace default via {router} dev eth0")


def _handler(proxy: Proxy) -> type[http.server.BaseHTTPRequestHandler]:
    expected = authorization(proxy.login)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            host, _, port = self.path.rpartition(":")
            if self._may_pass(host.strip("[]"), int(port)):
                with socket.create_connection((proxy.beyond, int(port)), timeout=_CONNECT_S) as there:
                    there.settimeout(None)
                    self.send_response(200, "Connection established")
                    self.end_headers()
                    pass_on(self.connection, there)
                self.close_connection = True

        def _plain(self) -> None:
            url = urlsplit(self.path)
            if not url.hostname:
                self._refuse(400)
            elif self._may_pass(url.hostname, url.port or 80):
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                there = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=_CONNECT_S)
                there.request(self.command, url._replace(scheme="", netloc="").geturl() or "/", body, _passed_on(self))
                answer = there.getresponse()
                content = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {*_OF_THE_CONNECTION, "content-length"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _plain  # noqa: N815

        def _may_pass(self, host: str, port: int) -> bool:
            asked = Request(self.client_address[0], host, port, self.headers.get("User-Agent", ""))
            if self.headers.get("Proxy-Authorization") != expected:
                proxy.without_login.append(asked)
                self._refuse(407)
                return False
            if host != proxy.beyond:
                # A name that nobody has asks whether this is a proxy.
                if not host.endswith(".invalid"):
                    proxy.astray.append(asked)
                self._refuse(502)
                return False
            proxy.passed.append(asked)
            return True

        def _refuse(self, status: int) -> None:
            self.send_response(status)
            if status == 407:
                self.send_header("Proxy-Authenticate", 'Basic realm="lab"')
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """What it was asked for is in the lists of the proxy."""

    return Handler


def _passed_on(handler: http.server.BaseHTTPRequestHandler) -> dict[str, str]:
    return {name: value for name, value in handler.headers.items() if name.lower() not in _OF_THE_CONNECTION}
