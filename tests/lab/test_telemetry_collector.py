"""The configuration that the component renders, as the real collector reads it: needs no host."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.telemetry.collector import configuration
from components.telemetry.spec import TelemetrySpec
from components.view import Scrape
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.hosts.system import LabError, require_root
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
