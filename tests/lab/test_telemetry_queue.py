"""What a collector had queued when its power went is sent, also where nothing comes after it.

The real collector with the exporter and the queue that the component renders. Needs no host.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from components.telemetry.collector import TOKEN_FILE, configuration
from components.telemetry.spec import TelemetrySpec
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.hosts.system import wait_until
from lab.telemetry import collector
from lab.telemetry.gateway import Gateway
from tests.lab.test_telemetry_backlog import IMAGE, free_port


class Alone:
    """A collector that sends nothing but the log records that it is given."""

    def __init__(self, folder: Path, gateway: str, ca_file: Path) -> None:
        self.folder, self.port = folder, free_port()
        (folder / "token").write_text("a token")
        spec = TelemetrySpec.model_validate({"gateway": gateway, "image": IMAGE})
        text = configuration(spec, site="s", tier="near", region="lab", labels={}, scrapes=(), ca_file=str(ca_file))
        document = yaml.safe_load(text.replace(TOKEN_FILE, str(folder / "token")))
        document["receivers"] = {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{self.port}"}}}}
        storage = document["extensions"]["file_storage"]
        storage["directory"] = storage["compaction"]["directory"] = str(folder / "queue")
        document["exporters"]["otlp_http/logs"]["retry_on_failure"].update(initial_interval="1s", max_interval="1s")
        service = document["service"]
        service["extensions"].remove("health_check")
        del document["extensions"]["health_check"]
        service["pipelines"] = {"logs": {**service["pipelines"]["logs"], "receivers": ["otlp"]}}
        service["telemetry"]["metrics"] = {"level": "none"}
        (folder / "config.yaml").write_text(yaml.safe_dump(document))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Until the block ends, as if the power went."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(collector.program()), f"--config={self.folder / 'config.yaml'}"],
                env={"PATH": "/usr/bin:/bin", "K8S_NODE_NAME": "a", "POD_IP": "127.0.0.1"},
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(lambda: process.poll() is not None or self._answers(), "the collector answers", deadline_s=60)
            assert process.poll() is None, self.log
            yield
        finally:
            process.kill()
            process.wait(60)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def take(self, text: str) -> None:
        record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": text}}
        body = {"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": [record]}]}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/logs",
            json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200


def test_a_single_record_that_was_queued_when_the_power_went_is_sent_once_the_gateway_is_back(tmp_path: Path) -> None:
    try:
        collector.program()
    except EngineError as error:
        pytest.skip(str(error))
    with Authority() as authority, Gateway(authority, "127.0.0.1", "a token", port=free_port()) as gateway:
        gateway.stop()
        alone = Alone(tmp_path, gateway.url, authority.ca_file)
        with alone.running():
            alone.take("the last word")
            wait_until(lambda: "Exporting failed" in alone.log, "it has tried in vain", deadline_s=60)
        assert "Moved items for dispatching back to queue" not in alone.log
        with alone.running():
            wait_until(lambda: alone.log.count("Exporting failed") > 3, "it tries again, in vain", deadline_s=60)
            assert "Moved items for dispatching back to queue" in alone.log
            gateway.start()
            wait_until(lambda: bool(gateway.logs()), "it has arrived", deadline_s=60)
            assert [one.name for one in gateway.logs()] == ["the last word"]
