"""What a collector had queued when its power went is sent, also where nothing comes after it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from components.telemetry.spec import TelemetrySpec
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.hosts.system import wait_until
from lab.telemetry import collector
from lab.telemetry.gateway import Gateway
from tests.lab.free_port import free_port
from tests.lab.rendered_collector import IMAGE, RenderedCollector


def _alone(document: dict[str, Any]) -> None:
    """Nothing is sent but the log records that the test gives."""
    document["receivers"] = {"otlp": document["receivers"]["otlp"]}
    service = document["service"]
    service["pipelines"] = {"logs": {**service["pipelines"]["logs"], "receivers": ["otlp"]}}
    service["telemetry"]["metrics"] = {"level": "none"}


def _record(text: str) -> dict[str, Any]:
    record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": text}}
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": [record]}]}]}


def test_a_single_record_that_was_queued_when_the_power_went_is_sent_once_the_gateway_is_back(tmp_path: Path) -> None:
    try:
        collector.program()
    except EngineError as error:
        pytest.skip(str(error))
    with Authority() as authority, Gateway(authority, "127.0.0.1", "a token", port=free_port()) as gateway:
        gateway.stop()
        spec = TelemetrySpec.model_validate({"gateway": gateway.url, "image": IMAGE})
        alone = RenderedCollector(tmp_path, spec, authority.ca_file, _alone, site="s", node="a")
        with alone.running(end=subprocess.Popen.kill):
            alone.take("logs", _record("the last word"))
            wait_until(lambda: "Exporting failed" in alone.log, "it has tried in vain", deadline_s=60)
        assert "Moved items for dispatching back to queue" not in alone.log
        with alone.running():
            wait_until(lambda: alone.log.count("Exporting failed") > 3, "it tries again, in vain", deadline_s=60)
            assert "Moved items for dispatching back to queue" in alone.log
            gateway.start()
            wait_until(lambda: bool(gateway.logs()), "it has arrived", deadline_s=60)
            assert [one.name for one in gateway.logs()] == ["the last word"]
