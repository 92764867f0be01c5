"""Where the lab's hosts download K3s from: a mirror in the shape of K3s' release pages, over TLS.

    https://ADDRESS:PORT/<version, its + as %2B>/{k3s, k3s-airgap-images-amd64.tar.zst, sha256sum-amd64.txt}

The certificate is of an authority made for this mirror; hosts have to trust it (`Mirror.ca_file`, `trust_script`).
"""

from __future__ import annotations

import hashlib
import http.server
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

BINARY = "k3s"
IMAGES = "k3s-airgap-images-amd64.tar.zst"
SUMS = "sha256sum-amd64.txt"

_CA_ON_HOST = "/usr/local/share/ca-certificates/edge-lab.crt"
_DAYS = "30"


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def release_files(binary: Path, images: Path) -> dict[str, Path | bytes]:
    """The files of one release by their names, the list of sums included."""
    files: dict[str, Path | bytes] = {BINARY: binary, IMAGES: images}
    sums = "".join(f"{sha256(path)}  {name}\n" for name, path in ((BINARY, binary), (IMAGES, images)))
    return {**files, SUMS: sums.encode()}


class Mirror:
    """Serves ``releases`` (version -> file name -> content or path) at ``address`` until the block ends.

    Raises OSError when the address is not this machine's or the port is taken.
    """

    def __init__(self, address: str, releases: Mapping[str, Mapping[str, Path | bytes]], *, port: int = 0) -> None:
        self._address = address
        self._port = port
        self._releases = releases

    def __enter__(self) -> Mirror:
        self._folder = tempfile.TemporaryDirectory(prefix="edge-lab-mirror-")
        folder = Path(self._folder.name)
        _make_certificates(folder, self._address)
        self._server = _Server((self._address, self._port), _handler(self._releases))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "mirror.crt", folder / "mirror.key")
        # The handshake is in each connection's own thread: a client that hangs in it holds up nobody else.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """The site's `k3s.mirror`."""
        return f"https://{self._address}:{self._server.server_port}"

    @property
    def ca_file(self) -> Path:
        """The authority's certificate (PEM). It is there as long as the mirror."""
        return Path(self._folder.name) / "ca.crt"

    def trust_script(self) -> str:
        """For bash on a host, as root: makes the host trust this mirror. Doing it twice is fine."""
        text = self.ca_file.read_text()
        return f"cat >{_CA_ON_HOST} <<'CERTIFICATE'\n{text}CERTIFICATE\nupdate-ca-certificates >/dev/null 2>&1\n"

    def file_url(self, version: str, name: str) -> str:
        """Where one file is, in the way in which the component asks for it."""
        return f"{self.url}/{quote(version, safe='')}/{name}"


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or does not trust the authority, is its own affair."""


def _handler(releases: Mapping[str, Mapping[str, Path | bytes]]) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            # A bare + in a path is a plus, but a server may take it for a space: only the escaped form is served.
            version, _, name = self.path.lstrip("/").partition("/")
            found = None if "+" in version else releases.get(unquote(version), {}).get(name)
            if found is None:
                self.send_error(404)
                return
            size = len(found) if isinstance(found, bytes) else found.stat().st_size
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if not with_body:
                return
            if isinstance(found, bytes):
                self.wfile.write(found)
                return
            with found.open("rb") as file:
                while block := file.read(1 << 20):
                    self.wfile.write(block)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: the host's own script says what it fetched."""

    return Handler


def _make_certificates(folder: Path, address: str) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    _openssl("req", "-x509", *key, "-days", _DAYS, "-subj", "/CN=edge lab mirror CA",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
             "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt"))  # fmt: skip
    _openssl("req", "-new", *key, "-subj", "/CN=edge lab mirror",
             "-keyout", str(folder / "mirror.key"), "-out", str(folder / "mirror.csr"))  # fmt: skip
    extensions = folder / "extensions"
    extensions.write_text(f"subjectAltName=IP:{address}\nextendedKeyUsage=serverAuth\n")
    _openssl("x509", "-req", "-in", str(folder / "mirror.csr"), "-days", _DAYS, "-extfile", str(extensions),
             "-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial",
             "-out", str(folder / "mirror.crt"))  # fmt: skip


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
