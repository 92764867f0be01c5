"""Something that is not the cluster, at the address of its API: it shows a CA, and keeps what it is told.

What a machine in the middle, a wrong DNS record or another cluster behind a reused virtual IP are to a host that joins.
"""

from __future__ import annotations

import http.server
from contextlib import ExitStack
from typing import Any

from lab.authority import Authority
from lab.https import Answering, Server


class Impostor(Answering):
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

    def _open(self) -> Server:
        self._until = ExitStack()
        authority = self._authority or self._until.enter_context(Authority())
        ca = self._ca or authority.ca_file.read_text()
        return Server(self._at, _handler(self, ca.encode())).over_tls(authority)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._until.close()


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
