"""Whether a cluster is offline or refuses the stack's kubeconfig: asked of a real TLS server on loopback."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from edge.run.cluster_access import ClusterAccess, Refused, contact
from edge.run.events import Diagnostic
from edge.run.expiring import as_arguments
from edge.run.failure import cluster_refuses
from tests.components.kubeconfigs import kubeconfig

SKIPPED = Diagnostic(
    "warning", "urn:x", "Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping..."
)
NOW = datetime.now(UTC)


def certificate(folder: Path) -> tuple[Path, bytes]:
    """A certificate of 127.0.0.1 that is its own authority, with its key in one file; and the certificate alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "k3s")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    file = folder / "server.pem"
    file.write_bytes(made + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file, made


@dataclass
class Api:
    """Answers everything with ``status``."""

    port: int
    ca: bytes
    status: int = 200
    asked: int = 0

    def kubeconfig(self, *, ca: bytes | None = None) -> str:
        server = f"https://127.0.0.1:{self.port}"
        return kubeconfig(NOW - timedelta(days=1), NOW + timedelta(days=364), server=server, ca=ca or self.ca)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not trust it goes away."""

    file, ca = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with Server(("127.0.0.1", 0), Handler) as server:
        made = Api(server.server_port, ca)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_a_cluster_that_takes_the_kubeconfig_is_not_accused(api: Api) -> None:
    contact(api.kubeconfig())
    assert ClusterAccess(api.kubeconfig(), "urn").refused([SKIPPED]) is None
    assert api.asked == 2


@pytest.mark.parametrize(("status", "word"), [(401, "unauthorized"), (403, "forbidden")])
def test_a_cluster_that_refuses_the_credential_is_not_offline(api: Api, status: int, word: str) -> None:
    api.status = status
    access = ClusterAccess(api.kubeconfig(), "urn")
    reason = access.refused([SKIPPED])
    assert reason == f"https://127.0.0.1:{api.port} answers and does not take the kubeconfig: {word} ({status})"
    renewal = access.renewal([SKIPPED])
    assert renewal is not None
    assert (as_arguments([renewal]), renewal.why) == (["--replace", "urn"], reason)


def test_another_cluster_at_the_address_is_not_an_offline_one(api: Api, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(Refused, match="does not show a certificate of this cluster"):
        contact(api.kubeconfig(ca=certificate(other)[1]))
    assert api.asked == 0, "nothing is sent to it"


def test_where_nothing_answers_the_cluster_is_offline_and_its_kubeconfig_is_left_alone(api: Api) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        offline = Api(closed.getsockname()[1], api.ca).kubeconfig()
        access = ClusterAccess(offline, "urn")
        assert access.refused([SKIPPED]) is None
        assert access.renewal([SKIPPED]) is None


def test_a_run_that_has_skipped_nothing_asks_nobody(api: Api) -> None:
    api.status = 401
    assert ClusterAccess(api.kubeconfig(), "urn").renewal([Diagnostic("warning", "", "something else")]) is None
    assert api.asked == 0


def test_no_key_is_left_behind_and_none_is_printed(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    contact(api.kubeconfig())
    assert list(temporary.iterdir()) == []
    assert "client-key-data" not in repr(ClusterAccess(api.kubeconfig(), "urn"))


def test_what_is_said_of_a_refusal_names_the_way_on() -> None:
    failure = cluster_refuses("it does not take the kubeconfig: unauthorized (401)", "prod", "up")
    assert "unauthorized" in failure.what
    assert "not offline" in failure.what
    assert failure.remedies[0].startswith("edge up prod ")
