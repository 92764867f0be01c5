"""Something that is not the cluster, at the address of its API: it shows a CA, and keeps what it is told.

What a machine in the middle, a wrong DNS record or another cluster behind a reused virtual IP are to a host that joins.
"""

from __future__ import annotations

import http.server
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from lab.authority import Authority


class Impostor:
    """Answers at ``port`` of ``address`` as a K3s server does before a node has joined, until the block ends.

    Its certificate is of ``authority``, by default one that nobody trusts. It shows ``ca`` (PEM) as the cluster's, by
    default its authority's. Raises OSError when the address is not this machine's or the port is taken.
    """

    def __init__(
        self, address: str, *, port: int = 6443, authority: Authority | None = None, ca: str | None = None
    ) -> None:
        self.paths: list[str] = []
        """What it was asked for, in order."""
        self.credentials: list[str] = []
        """Every Authorization header that it was sent."""
        self._at, self._authority, self._ca = (address, port), authority, ca

    def __enter__(self) -> Impostor:
        self._until = ExitStack()
        authority = self._authority or self._until.enter_context(Authority())
        ca = self._ca or authority.ca_file.read_text()
        self._server = _Server(self._at, _handler(self, ca.encode()))
        context = authority.server_context(self._at[0])
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._until.close()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the authority goes away: that is what this is for."""


def _handler(impostor: Impostor, ca: bytes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            impostor.paths.append(self.path)
            if given := self.headers.get("Authorization"):
                impostor.credentials.append(given)
            content = ca if self.path == "/cacerts" else b"pong"
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """What it was asked is in ``paths``."""

    return Handler
