"""The real collector on this machine, with the exporter and the queue that the component renders. Needs no host."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from components.telemetry.collector import TOKEN_FILE, configuration
from components.telemetry.spec import TelemetrySpec
from lab.hosts.system import wait_until
from lab.telemetry import collector
from tests.lab.free_port import free_port

IMAGE = f"docker.io/x/y@sha256:{'0' * 64}"


class RenderedCollector:
    """What leaves the site, and how, is as it is rendered, but for its haste; ``change`` alters the rest of the
    configuration. There is no kubelet and no pod. The gateway's token is `a token`."""

    def __init__(
        self,
        folder: Path,
        spec: TelemetrySpec,
        ca_file: Path,
        change: Callable[[dict[str, Any]], None],
        *,
        site: str,
        node: str,
    ) -> None:
        self.folder, self.node, self.port = folder, node, free_port()
        (folder / "token").write_text("a token")
        text = configuration(spec, site=site, tier="near", region="lab", labels={}, scrapes=(), ca_file=str(ca_file))
        document = yaml.safe_load(text.replace(TOKEN_FILE, str(folder / "token")))
        del document["receivers"]["kubelet_stats"]
        document["receivers"]["otlp"]["protocols"] = {"http": {"endpoint": f"127.0.0.1:{self.port}"}}
        storage = document["extensions"]["file_storage"]
        storage["directory"] = storage["compaction"]["directory"] = str(folder / "queue")
        for exporter in document["exporters"].values():
            exporter["retry_on_failure"].update(initial_interval="1s", max_interval="1s")
        document["service"]["extensions"].remove("health_check")
        del document["extensions"]["health_check"]
        change(document)
        (folder / "config.yaml").write_text(yaml.safe_dump(document))

    @contextmanager
    def running(self, *, end: Callable[[subprocess.Popen[bytes]], None] = subprocess.Popen.terminate) -> Iterator[None]:
        """Until the block ends; ``end`` is how."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(collector.program()), f"--config={self.folder / 'config.yaml'}"],
                env={"PATH": "/usr/bin:/bin", "K8S_NODE_NAME": self.node, "POD_IP": "127.0.0.1"},
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(lambda: process.poll() is not None or self._answers(), "the collector answers", deadline_s=60)
            assert process.poll() is None, self.log
            yield
        finally:
            end(process)
            process.wait(60)

    @property
    def log(self) -> str:
        """What it has said, in all its runs."""
        return (self.folder / "log").read_text()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def take(self, signal: str, body: dict[str, Any]) -> None:
        """One request of OTLP; ``signal`` is `metrics` or `logs`."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/{signal}",
            json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
