"""Files served over TLS on this machine's side of a lab's network: the base of its mirror and its registry."""

from __future__ import annotations

import base64
import http.server
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from components.addresses import endpoint
from lab.authority import Authority

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Answer:
    """What is at a path."""

    content: Path | bytes
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)


class Answering:
    """A server of this process: it answers in a thread of its own, until the block ends."""

    _server: http.server.ThreadingHTTPServer

    def _open(self) -> http.server.ThreadingHTTPServer:
        """The server, listening. Raises OSError when the address is not this machine's or the port is taken."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._server = self._open()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port


class Server(http.server.ThreadingHTTPServer):
    """Each connection has a thread of its own, and a client that goes away ends no other."""

    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or does not trust the authority, is its own affair."""

    def over_tls(self, authority: Authority) -> Server:
        """This server, with a certificate of ``authority`` for its address."""
        context = authority.server_context(str(self.server_address[0]))
        # The handshake is in each connection's own thread: a client that hangs in it holds up nobody else.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        return self


class FileServer(Answering):
    """Answers GET and HEAD at ``address`` with what ``find`` gives for a path, until the block ends; else 404.

    With ``login`` (`user:password`) only to those who have it; others get 401. Raises OSError when the address is not
    this machine's or the port is taken.
    """

    def __init__(
        self,
        authority: Authority,
        address: str,
        find: Callable[[str], Answer | None],
        *,
        port: int = 0,
        login: str | None = None,
    ) -> None:
        self._authority, self._address, self._port, self._find = authority, address, port, find
        self._login = login

    def _open(self) -> Server:
        return Server((self._address, self._port), _handler(self._find, self._login)).over_tls(self._authority)

    @property
    def host(self) -> str:
        """ADDRESS:PORT."""
        return endpoint(self._address, self.port)


def authorization(login: str) -> str:
    """The header of a client with ``login`` (`user:password`)."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def _handler(find: Callable[[str], Answer | None], login: str | None) -> type[http.server.BaseHTTPRequestHandler]:
    expected = authorization(login) if login else None

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            if expected and self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="lab"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            found = find(self.path)
            if found is None:
                self.send_error(404)
                return
            content = found.content
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            self.send_response(200)
            self.send_header("Content-Type", found.content_type)
            self.send_header("Content-Length", str(size))
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if not with_body:
                return
            if isinstance(content, bytes):
                self.wfile.write(content)
                return
            with content.open("rb") as file:
                while block := file.read(_BLOCK):
                    self.wfile.write(block)

        def log_message(self, format: str, *args: object) -> None:
            """No log: the client says what it fetched."""

    return Handler
