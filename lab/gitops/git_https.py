"""The lab's Git repository over HTTPS with a login, as git's own `http-backend` serves it."""

from __future__ import annotations

import http.server
import os
import subprocess
from pathlib import Path

from components.addresses import endpoint
from lab.authority import Authority
from lab.https import Answering, Server, authorization

_LIMIT_S = 60


class GitHttps(Answering):
    """Serves ``repository`` for reading at ``address``, to whoever knows user name and ``password``, until the block
    ends."""

    username = "edge"

    def __init__(self, authority: Authority, address: str, repository: Path, password: str) -> None:
        self._authority, self._address, self._repository = authority, address, repository
        self._password = password

    def _open(self) -> Server:
        login = authorization(f"{self.username}:{self._password}")
        return Server((self._address, 0), _handler(self._repository, login)).over_tls(self._authority)

    @property
    def url(self) -> str:
        """The site's `gitops.source.git`."""
        return f"https://{endpoint(self._address, self.port)}/{self._repository.name}"


def _handler(repository: Path, login: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _LIMIT_S

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.headers.get("Authorization") != login:
                self._send(401, {"WWW-Authenticate": 'Basic realm="lab"'}, b"")
                return
            path, _, query = self.path.partition("?")
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_PROJECT_ROOT": str(repository.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            done = subprocess.run(
                ["git", "http-backend"], env=environment, input=body, capture_output=True, check=False, timeout=_LIMIT_S
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
            status = int(headers.pop("Status", "200").split()[0]) if head else 500
            self._send(status, headers, content)

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """No log: the client says what it fetched."""

    return Handler
