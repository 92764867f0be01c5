"""Prometheus and its tool, built from the Go modules pinned beside this file: storage and parser of what a site sends.

Some minutes on two cores the first time, none after.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from lab.authority import Authority
from lab.builds import STATIC, go_program
from lab.hosts.system import LabError, tail, wait_until

_MODULE = Path(__file__).parent / "prometheus"
_DEADLINE_S = 60
_LOOPBACK = "127.0.0.1"

# None of its ways to find targets: they are SDKs of clouds, minutes of building.
_ENVIRONMENT = {**STATIC, "GOFLAGS": f"{STATIC['GOFLAGS']} -tags=remove_all_sd"}


def program(name: str) -> Path:
    """The static executable `prometheus` or `promtool`; raises EngineError with one clear line."""
    return go_program(_MODULE, f"github.com/prometheus/prometheus/cmd/{name}", name, environment=_ENVIRONMENT)


class Prometheus:
    """Takes OTLP over HTTPS on this machine's loopback, until the block ends. It scrapes nothing.

    ``window_hours`` is its out-of-order window, ``rules`` a rule file. Raises LabError when it does not come up.
    """

    def __init__(self, authority: Authority, *, window_hours: int, rules: str) -> None:
        self._authority, self._window_hours, self._rules = authority, window_hours, rules
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Prometheus:
        self._kept = tempfile.TemporaryDirectory(prefix="edge-lab-prometheus-")
        self._folder = Path(self._kept.name)
        with socket.socket() as free:
            free.bind((_LOOPBACK, 0))
            self._port = free.getsockname()[1]
        certificate, key = self._authority.certificate(_LOOPBACK)
        self._write("web.yaml", {"tls_server_config": {"cert_file": str(certificate), "key_file": str(key)}})
        self._write(
            "prometheus.yaml",
            {
                "global": {"evaluation_interval": "1s"},
                "rule_files": ["rules.yaml"],
                "storage": {"tsdb": {"out_of_order_time_window": f"{self._window_hours}h"}},
            },
        )
        (self._folder / "rules.yaml").write_text(self._rules)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._kept.cleanup()

    @property
    def gateway(self) -> str:
        """The site's `telemetry.gateway`."""
        return f"https://{_LOOPBACK}:{self._port}/api/v1/otlp"

    def start(self) -> None:
        """Returns when it answers."""
        command = [
            str(program("prometheus")),
            f"--config.file={self._folder / 'prometheus.yaml'}",
            f"--web.config.file={self._folder / 'web.yaml'}",
            f"--web.listen-address={_LOOPBACK}:{self._port}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            "--web.enable-otlp-receiver",
        ]
        log = self._folder / "log"
        with log.open("ab") as out:
            self._process = process = subprocess.Popen(command, stdout=out, stderr=out)
        wait_until(lambda: process.poll() is not None or self._ready(), "Prometheus answers", deadline_s=_DEADLINE_S)
        if process.poll() is not None:
            raise LabError(f"Prometheus ended:\n{tail(log)}")

    def stop(self) -> None:
        """Returns when it has ended."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_DEADLINE_S)
            self._process = None

    def send(self, body: dict[str, Any]) -> None:
        """One request of OTLP's metrics, in JSON; raises HTTPError where it is refused."""
        self._ask("/api/v1/otlp/v1/metrics", json.dumps(body).encode())

    def query(self, expression: str, at: float) -> list[dict[str, Any]]:
        """An instant vector of PromQL, at so many seconds since 1970."""
        words = urllib.parse.urlencode({"query": expression, "time": at})
        found: list[dict[str, Any]] = json.loads(self._ask(f"/api/v1/query?{words}"))["data"]["result"]
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """The labels of what fires now."""
        found = json.loads(self._ask("/api/v1/alerts"))["data"]["alerts"]
        return [alert["labels"] for alert in found if alert["state"] == "firing"]

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(
            f"https://{_LOOPBACK}:{self._port}{path}", body, headers={"Content-Type": "application/json"}
        )
        trusted = ssl.create_default_context(cafile=str(self._authority.ca_file))
        with urllib.request.urlopen(request, timeout=30, context=trusted) as answer:
            answered: bytes = answer.read()
        return answered

    def _ready(self) -> bool:
        try:
            self._ask("/-/ready")
        except (OSError, urllib.error.URLError):
            return False
        return True

    def _write(self, name: str, document: dict[str, Any]) -> None:
        (self._folder / name).write_text(yaml.safe_dump(document))
