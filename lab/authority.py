"""The certificate authority of a lab: every TLS server that a site of the lab reaches has a certificate from it.

Hosts and this machine's programs have to be told to trust it (`ca_file`, `trust_script`).
"""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
import tempfile
from pathlib import Path

_CA_ON_HOST = "/usr/local/share/ca-certificates/edge-lab.crt"
_DAYS = "30"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """An authority that lasts as long as the block; raises OSError where `openssl` is missing or refuses."""

    def __enter__(self) -> Authority:
        self._folder = tempfile.TemporaryDirectory(prefix="edge-lab-authority-")
        _openssl("req", "-x509", *_KEY, "-days", _DAYS, "-subj", "/CN=edge lab CA",
                 "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
                 "-keyout", str(self._path("ca.key")), "-out", str(self.ca_file))  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @property
    def ca_file(self) -> Path:
        """The authority's certificate (PEM). It is there as long as the authority."""
        return self._path("ca.crt")

    def certificate(self, *names: str) -> tuple[Path, Path]:
        """Files of a server's certificate and key, good for these addresses or DNS names."""
        stem = names[0].replace(":", "_")
        certificate, key = self._path(f"{stem}.crt"), self._path(f"{stem}.key")
        request, extensions = self._path(f"{stem}.csr"), self._path(f"{stem}.ext")
        extensions.write_text(
            f"subjectAltName={','.join(_alternative(name) for name in names)}\nextendedKeyUsage=serverAuth\n"
        )
        _openssl("req", "-new", *_KEY, "-subj", f"/CN={names[0]}", "-keyout", str(key), "-out", str(request))
        _openssl("x509", "-req", "-in", str(request), "-days", _DAYS, "-extfile", str(extensions),
                 "-CA", str(self.ca_file), "-CAkey", str(self._path("ca.key")), "-CAcreateserial",
                 "-out", str(certificate))  # fmt: skip
        return certificate, key

    def server_context(self, *names: str) -> ssl.SSLContext:
        """For a server of this process that is reached by ``names``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate(*names))
        return context

    def trust_script(self) -> str:
        """For bash on a host, as root: makes the host trust this authority. It may run twice."""
        text = self.ca_file.read_text()
        return f"cat >{_CA_ON_HOST} <<'CERTIFICATE'\n{text}CERTIFICATE\nupdate-ca-certificates >/dev/null 2>&1\n"

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / name


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
