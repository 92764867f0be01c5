"""What a site's collectors send to: the same program as a gateway, which writes down all that it has taken."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.addresses import endpoint
from lab.authority import Authority
from lab.hosts.system import LabError, tail, wait_until
from lab.telemetry import busybox, collector

_DEADLINE_S = 30
_SIGNALS = ("logs", "metrics", "traces")


@dataclass(frozen=True)
class Received:
    """One log record or one point of a metric, as it reached the gateway."""

    name: str
    """The metric's name; of a log record its text."""
    time_ns: int
    """When it was measured or logged, in nanoseconds since 1970."""
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    """Attributes of what it was measured on."""
    severity: str = ""
    """Of a log record, as its sender calls it."""


class Gateway:
    """Takes OTLP over HTTPS at ``address`` from clients with the token, until the block ends.

    With ``user`` the token is the password of basic authentication, else it is a bearer token. Between `stop` and
    `start` nobody answers; what was taken before is kept. Raises LabError when it does not come up.
    """

    def __init__(
        self, authority: Authority, address: str, token: str, *, user: str | None = None, port: int = 4318
    ) -> None:
        self._authority, self._address, self._port = authority, address, port
        self._token, self._user = token, user
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Gateway:
        self._kept = tempfile.TemporaryDirectory(prefix="edge-lab-gateway-")
        self._folder = Path(self._kept.name)
        secret = self._folder / "secret"
        secret.touch(mode=0o600)
        secret.write_text(f"{self._user}:{self._token}" if self._user else self._token)
        (self._folder / "config.yaml").write_text(yaml.safe_dump(self._configuration(secret)))
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
    def url(self) -> str:
        """The site's `telemetry.gateway`."""
        return f"https://{endpoint(self._address, self._port)}"

    def site_block(self, image: str, **changes: Any) -> dict[str, Any]:
        """The site's `telemetry`; the token is its secret `telemetry-token`. The registry has busybox."""
        # Defaults of the project belong to its own gateway.
        own = {"gateway": self.url, "instance_id": self._user or None, "out_of_order_hours": None}
        return {**own, "image": image, "tools_image": busybox.reference(), **changes}

    def start(self) -> None:
        """Returns when it answers."""
        with self._log.open("ab") as log:
            command = [str(collector.program()), f"--config={self._folder / 'config.yaml'}"]
            self._process = process = subprocess.Popen(command, stdout=log, stderr=log)

        def decided() -> bool:
            return process.poll() is not None or self._answers()

        wait_until(decided, f"the gateway answers at {self.url}", deadline_s=_DEADLINE_S)
        if process.poll() is not None:
            raise LabError(f"the gateway at {self.url} ended:\n{tail(self._log)}")

    def stop(self) -> None:
        """Returns when it has ended and written down what it took."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_DEADLINE_S)
            self._process = None

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text()

    def logs(self) -> list[Received]:
        """All log records so far, in the order in which they came."""
        return [
            Received(
                _value(record["body"]),
                int(record["timeUnixNano"]),
                _attributes(record),
                resource,
                record.get("severityText", ""),
            )
            for resource, scope in self._scopes("logs", "resourceLogs", "scopeLogs")
            for record in scope["logRecords"]
        ]

    def metrics(self) -> list[Received]:
        """All points of metrics so far, in the order in which they came."""
        return [
            Received(metric["name"], int(point["timeUnixNano"]), _attributes(point), resource)
            for resource, scope in self._scopes("metrics", "resourceMetrics", "scopeMetrics")
            for metric in scope["metrics"]
            for kind in ("gauge", "sum", "histogram", "summary")
            for point in metric.get(kind, {}).get("dataPoints", ())
        ]

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _answers(self) -> bool:
        try:
            socket.create_connection((self._address, self._port), timeout=1).close()
        except OSError:
            return False
        return True

    def _scopes(self, signal: str, resources: str, scopes: str) -> Iterator[tuple[Mapping[str, Any], Any]]:
        path = self._folder / signal
        for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
            # The last one may be half written.
            if line.endswith("\n"):
                for resource in json.loads(line)[resources]:
                    for scope in resource[scopes]:
                        yield _attributes(resource["resource"]), scope

    def _configuration(self, secret: Path) -> dict[str, Any]:
        certificate, key = self._authority.certificate(self._address)
        who = (
            {"basicauth": {"htpasswd": {"file": str(secret)}}}
            if self._user
            else {"bearertokenauth": {"filename": str(secret)}}
        )
        http = {
            "endpoint": endpoint(self._address, self._port),
            "tls": {"cert_file": str(certificate), "key_file": str(key)},
            "auth": {"authenticator": next(iter(who))},
        }
        return {
            "extensions": who,
            "receivers": {"otlp": {"protocols": {"http": http}}},
            "exporters": {
                f"file/{signal}": {"path": str(self._folder / signal), "append": True, "flush_interval": "100ms"}
                for signal in _SIGNALS
            },
            "service": {
                "extensions": list(who),
                "pipelines": {signal: {"receivers": ["otlp"], "exporters": [f"file/{signal}"]} for signal in _SIGNALS},
                "telemetry": {"metrics": {"level": "none"}},
            },
        }


def _attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["key"]: _value(entry["value"]) for entry in item.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> Any:
    """Of `{"stringValue": "x"}` the `x`; whole numbers come as text."""
    return next(iter(value.values()), None)
