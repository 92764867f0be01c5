"""The configuration that the component renders, as the real collector reads it: needs no host."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.telemetry import tools
from components.telemetry.collector import configuration
from components.telemetry.spec import TelemetrySpec
from components.view import Scrape
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.hosts.system import LabError, require_root, wait_until
from lab.telemetry import collector

IMAGE = "docker.io/otel/opentelemetry-collector-contrib:0.159.0@sha256:" + "0" * 64
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "POD_IP": "10.42.0.9",
    "K8S_NODE_IP": "10.98.0.11",
    "K8S_NODE_NAME": "lab-a",
    "GOMEMLIMIT": "300MiB",
}
TRITON = (Scrape("inference-server", "edge-inference", 8002, interval_s=15, keep="nv_.*"),)
SPECS: dict[str, tuple[dict[str, Any], tuple[Scrape, ...]]] = {
    "bearer token": ({}, ()),
    "basic authentication": ({"instance_id": "123456"}, ()),
    "with Triton": ({}, TRITON),
    "with tools": ({"tools_image": IMAGE}, ()),
    "with host health": ({"tools_image": IMAGE, "host_health": True}, ()),
    "with containers": ({"containers": True}, ()),
    "with logs of pods": ({"pod_logs": {"exclude_namespaces": ["kube-system"]}}, ()),
    "with names of workloads": ({"pod_logs": {}, "workload_names": True}, ()),
    "with events": ({"events": {}}, ()),
    "with events of some namespaces beside logs of pods": ({"events": {"namespaces": ["default"]}, "pod_logs": {}}, ()),
    "the smallest queues": ({"offline_hours": 1, "rate": {"metrics": 0.01, "logs": 0.01, "traces": 0.01}}, ()),
    "the largest queues": ({"offline_hours": 720, "rate": {"metrics": 10240, "logs": 10240, "traces": 10240}}, ()),
}


# Before it accepts anything the collector reads what a pod finds of its service account.
AS_IN_A_POD = """
mount -t tmpfs none /run
mkdir -p /run/secrets/kubernetes.io/serviceaccount
echo token >/run/secrets/kubernetes.io/serviceaccount/token
cp "$1" /run/secrets/kubernetes.io/serviceaccount/ca.crt
exec "$2" validate --config="$3"
"""

Validate = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def validate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Validate]:
    try:
        require_root()
        program = collector.program()
    except (EngineError, LabError) as error:
        pytest.skip(str(error))
    file = tmp_path_factory.mktemp("collector") / "config.yaml"
    with Authority() as authority:

        def done(text: str) -> subprocess.CompletedProcess[str]:
            file.write_text(text)
            words = [
                "unshare",
                "--mount",
                "sh",
                "-ec",
                AS_IN_A_POD,
                "sh",
                *map(str, (authority.ca_file, program, file)),
            ]
            return subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)

        yield done


def rendered(changes: dict[str, Any], scrapes: tuple[Scrape, ...], ca_file: str | None = None) -> str:
    spec = TelemetrySpec.model_validate({"gateway": "https://collect.example.com", "image": IMAGE, **changes})
    labels = {"customer": "acme", "price": "a$b"}
    return configuration(spec, site="lab", tier="near", region="lab", labels=labels, scrapes=scrapes, ca_file=ca_file)


@pytest.mark.parametrize("name", SPECS)
def test_the_collector_accepts_the_rendered_configuration(validate: Validate, name: str) -> None:
    done = validate(rendered(*SPECS[name]))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_collector_accepts_authorities_of_the_site(validate: Validate) -> None:
    done = validate(rendered({}, (), ca_file="/run/secrets/kubernetes.io/serviceaccount/ca.crt"))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_collector_refuses_a_setting_that_it_does_not_know(validate: Validate) -> None:
    done = validate(rendered({}, ()).replace("max_elapsed_time", "max_elapsed_tme"))
    assert done.returncode != 0
    assert "max_elapsed_tme" in done.stderr


def test_the_builds_pins_are_those_of_the_builders_configuration() -> None:
    folder = Path(collector.__file__).parent / "otelcol"
    told = yaml.safe_load((folder / "builder.yaml").read_text())
    pins = [part["gomod"] for kind in ("receivers", "processors", "exporters", "extensions") for part in told[kind]]
    required = (folder / "go.mod").read_text().splitlines()
    assert [pin for pin in (*pins, f"module {told['dist']['module']}") if pin not in map(str.strip, required)] == []


@dataclass
class Queueing:
    """A collector with a queue and without a gateway, on this machine."""

    program: Path
    folder: Path
    port: int

    @property
    def queue(self) -> Path:
        """The file of the logs' queue."""
        return self.folder / "queue" / "exporter_otlp_http_logs_logs"

    def configure(self) -> None:
        """As the component renders it, with nothing to measure and nowhere to send to."""
        document = yaml.safe_load(rendered({"offline_hours": 1}, ()))
        queue = str(self.folder / "queue")
        storage = document["extensions"]["file_storage"]
        exporter = document["exporters"]["otlp_http/logs"]
        del exporter["auth"]
        made = {
            "extensions": {
                "file_storage": {
                    **storage,
                    "directory": queue,
                    "compaction": {**storage["compaction"], "directory": queue},
                }
            },
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{self.port}"}}}},
            "exporters": {"otlp_http/logs": {**exporter, "endpoint": "http://127.0.0.1:9"}},
            "service": {
                "extensions": ["file_storage"],
                "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["otlp_http/logs"]}},
                "telemetry": {"metrics": {"level": "none"}},
            },
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(made))

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """From when it answers, or has ended. Killed at the end, as by a power cut."""
        with (self.folder / "log").open("wb") as log:
            command = [str(self.program), f"--config={self.folder / 'config.yaml'}"]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(
                lambda: process.poll() is not None or self.accepts(), "the collector answers or ends", deadline_s=60
            )
            yield process
        finally:
            process.kill()
            process.wait(30)

    def accepts(self) -> bool:
        """Whether it takes a log record into its queue."""
        record = {"body": {"stringValue": "x" * 2000}}
        body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/logs",
            json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def check(self) -> str:
        """What the script says that runs before the collector."""
        script = self.folder / "check-queue"
        script.write_text(tools.scripts()["check-queue"])
        command = ["sh", str(script), str(self.folder / "queue")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture
def queueing(tmp_path: Path) -> Queueing:
    try:
        program = collector.program()
    except EngineError as error:
        pytest.skip(str(error))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        made = Queueing(program, tmp_path, free.getsockname()[1])
    made.configure()
    with made.running():
        assert all(made.accepts() for _ in range(300))
    return made


def test_a_queue_of_the_real_collector_that_was_killed_is_whole(queueing: Queueing) -> None:
    before = queueing.queue.read_bytes()
    assert len(before) > 300 * 2000
    assert queueing.check() == ""
    assert queueing.queue.read_bytes() == before


def cut_short(queue: Path) -> None:
    os.truncate(queue, 20480)


def without_meta_pages(queue: Path) -> None:
    with queue.open("r+b") as file:
        file.write(bytes(8192))


@pytest.mark.parametrize("damage", [cut_short, without_meta_pages])
def test_a_collector_that_its_damaged_queue_stops_starts_once_that_is_moved_aside(
    queueing: Queueing, damage: Callable[[Path], None]
) -> None:
    damage(queueing.queue)
    for _ in range(2):
        with queueing.running() as process:
            assert process.poll() is not None, "this damage does not stop it any more: is the script still needed?"
            assert process.returncode in (1, 2, -signal.SIGBUS)
    assert "is damaged: moved aside" in queueing.check()
    with queueing.running() as process:
        assert process.poll() is None
        assert queueing.accepts()
    assert queueing.check() == ""
    assert (queueing.folder / "queue" / ".damaged").read_text() == "1\n"


SECRET_LINES = {
    "glc_": "sent with " + "glc_" + "eyJvIjoiMTIzNDU2IiwibiI6ImVkZ2UiLCJrIjoiYWJj",
    "BEGIN": "-----BEGIN " + "PRIVATE KEY-----",
    "password": 'connects with password="hunter2hunter2"',
    "://": "postgres://edge:" + "s3cr3tpw@db.example.com:5432/k3s",
}
POD = "apps_web-7d4b9c-x2x1z_0b8f9f51-6f1c-4b5f-9d0e-8d3c8f0e4a11"


@dataclass
class Reading:
    """A collector that reads logs of pods below a folder of its own, and writes down what it would send."""

    program: Path
    folder: Path

    @property
    def pods(self) -> Path:
        return self.folder / "pods"

    def write(self, *lines: str, pod: str = POD) -> None:
        """As containerd does."""
        file = self.pods / pod / "server" / "0.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as log:
            log.writelines(f"2026-11-27T08:00:00.000000001Z stdout F {line}\n" for line in lines)

    def configure(self, gateway: str | None = None, **changes: Any) -> None:
        """As the component renders it, but for where the logs are, where they go, and how often it looks and tries.

        With a ``gateway`` they go there through the smallest of all queues, else into a file.
        """
        document = yaml.safe_load(rendered({"pod_logs": changes, **SPECS["the smallest queues"][0]}, ()))
        text = json.dumps(document["receivers"]["file_log"]).replace("/var/log/pods", str(self.pods))
        queue = str(self.folder / "queue")
        storage = document["extensions"]["file_storage"]
        compaction = {**storage["compaction"], "directory": queue}
        soon = {"initial_interval": "100ms", "max_interval": "500ms"}
        receiver = json.loads(text)
        receiver |= {"poll_interval": "200ms", "retry_on_failure": {**receiver["retry_on_failure"], **soon}}
        exporters = {"file": {"path": str(self.folder / "sent"), "append": True, "flush_interval": "100ms"}}
        if gateway:
            exporter = document["exporters"]["otlp_http/logs"]
            del exporter["auth"]
            retry = {**exporter["retry_on_failure"], **soon}
            queue_of_logs = exporter["sending_queue"]
            queue_of_logs["batch"]["flush_timeout"] = "100ms"
            plain = {"endpoint": gateway, "compression": "none", "encoding": "json", "retry_on_failure": retry}
            exporters = {"otlp_http": {**exporter, **plain}}
        made = {
            "extensions": {"file_storage": {**storage, "directory": queue, "compaction": compaction}},
            "receivers": {"file_log": receiver},
            "processors": {name: document["processors"][name] for name in ("redaction", "resource")},
            "exporters": exporters,
            "service": {
                "extensions": ["file_storage"],
                "pipelines": {
                    "logs": {
                        "receivers": ["file_log"],
                        "processors": ["redaction", "resource"],
                        "exporters": list(exporters),
                    }
                },
                "telemetry": {"metrics": {"level": "none"}},
            },
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(made))

    @contextmanager
    def running(self) -> Iterator[None]:
        with (self.folder / "log").open("ab") as log:
            command = [str(self.program), f"--config={self.folder / 'config.yaml'}"]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT)
        try:
            yield
        finally:
            process.kill()
            process.wait(30)

    def sent(self) -> list[tuple[str, set[str], dict[str, str]]]:
        """Of each line: its text, the names of its attributes, and what of the resource is a text."""
        file = self.folder / "sent"
        return [
            (
                record["body"]["stringValue"],
                {each["key"] for each in record.get("attributes", ())},
                {each["key"]: each["value"].get("stringValue", "") for each in resource["resource"]["attributes"]},
            )
            for line in (file.read_text().splitlines() if file.exists() else ())
            for resource in json.loads(line)["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def texts(self) -> list[str]:
        return [text for text, _, _ in self.sent()]


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    try:
        made = Reading(collector.program(), tmp_path)
    except EngineError as error:
        pytest.skip(str(error))
    made.configure(exclude_namespaces=["quiet"])
    return made


def test_a_line_of_a_pod_has_its_names_and_nothing_that_is_new_at_each_start(reading: Reading) -> None:
    reading.write("hello")
    with reading.running():
        wait_until(lambda: bool(reading.sent()), "the line is sent", deadline_s=30)
    ((text, attributes, resource),) = reading.sent()
    assert (text, attributes) == ("hello", {"log.iostream"})
    of_pod = {key: value for key, value in resource.items() if key in ("k8s.container.name",) or "k8s.pod" in key}
    assert of_pod == {"k8s.container.name": "server", "k8s.pod.name": "web-7d4b9c-x2x1z"}
    assert (resource["k8s.namespace.name"], resource["edge.site"]) == ("apps", "lab")
    assert [key for key in resource if key.startswith("log.") or key.endswith(("uid", "count"))] == []


def test_secrets_in_lines_are_masked_by_the_real_collector(reading: Reading) -> None:
    reading.write(*SECRET_LINES.values(), "an ordinary line")
    with reading.running():
        wait_until(lambda: len(reading.sent()) == len(SECRET_LINES) + 1, "all lines are sent", deadline_s=30)
    assert reading.texts() == [
        "sent with ****",
        "****",
        'connects with ****"',
        "postgres****db.example.com:5432/k3s",
        "an ordinary line",
    ]


def test_a_collector_that_was_killed_goes_on_where_it_was(reading: Reading) -> None:
    reading.write(*(f"before {number}" for number in range(100)))
    with reading.running():
        wait_until(lambda: len(reading.sent()) == 100, "the lines are sent", deadline_s=30)
        # Where it is in a file is written at the next look, after what it sent.
        reading.write("last")
        wait_until(lambda: "last" in reading.texts(), "one more", deadline_s=30)
    reading.write("while it was away")
    reading.write("of a pod that came while it was away", pod=POD.replace("x2x1z", "other"))
    with reading.running():
        wait_until(
            lambda: {"while it was away", "of a pod that came while it was away"} <= set(reading.texts()),
            "what came meanwhile",
            deadline_s=30,
        )
    assert sum(text.startswith("before") for text in reading.texts()) == 100, "nothing is sent again"


def test_own_lines_and_those_of_excluded_namespaces_stay_on_the_host(reading: Reading) -> None:
    for namespace in ("edge-telemetry", "quiet"):
        reading.write(f"of {namespace}", pod=POD.replace("apps_", f"{namespace}_"))
    reading.write("of apps")
    with reading.running():
        wait_until(lambda: bool(reading.sent()), "the other line is sent", deadline_s=30)
    assert reading.texts() == ["of apps"]


class Door(ThreadingHTTPServer):
    """A gateway that is overloaded until it is open, and then keeps what it takes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visitor)
        self.open = False
        self.texts: list[str] = []


class Visitor(BaseHTTPRequestHandler):
    server: Door

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.open:
            self.server.texts += [
                record["body"]["stringValue"]
                for resource in body["resourceLogs"]
                for scope in resource["scopeLogs"]
                for record in scope["logRecords"]
            ]
        self.send_response(200 if self.server.open else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_what_a_full_queue_has_no_room_for_waits_in_the_files(reading: Reading) -> None:
    lines = [f"line {number} {'x' * 100}" for number in range(1500)]
    with Door() as door:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        reading.configure(gateway=f"http://127.0.0.1:{door.server_address[1]}")
        reading.write(*lines)
        try:
            with reading.running():
                log = reading.folder / "log"
                wait_until(lambda: "queue is full" in log.read_text(), "the queue is full", deadline_s=60)
                door.open = True
                wait_until(lambda: set(door.texts) >= set(lines), "all lines have come", deadline_s=60)
        finally:
            door.shutdown()
    assert len(door.texts) == len(lines), "each once"
