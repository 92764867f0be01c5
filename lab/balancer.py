"""An address for a cluster's API that outlives any one server: a TCP load balancer on this machine's side of a lab.

What a site has in its place is a virtual IP or a load balancer of its router (`k3s.api_address`).
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
import threading
from collections.abc import Sequence

_CONNECT_S = 1.0
_BLOCK = 1 << 16


class Balancer:
    """Passes connections to ``port`` of ``address`` on to the first of ``servers`` that takes them.

    Raises OSError when the address is not this machine's or the port is taken.
    """

    def __init__(self, address: str, servers: Sequence[str], *, port: int = 6443) -> None:
        self._server = _Server((address, port), _Passing)
        self._server.backends = [(server, port) for server in servers]

    def __enter__(self) -> Balancer:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    backends: list[tuple[str, int]]


class _Passing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        for backend in self.server.backends:
            with contextlib.suppress(OSError), socket.create_connection(backend, _CONNECT_S) as onward:
                onward.settimeout(None)
                pass_on(self.request, onward)
                return


def pass_on(one: socket.socket, other: socket.socket) -> None:
    """Both ways, until either side has said all."""
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                assert isinstance(key.fileobj, socket.socket)
                said = key.fileobj.recv(_BLOCK)
                if not said:
                    return
                key.data.sendall(said)
