"""A day of a site's queue reaches Prometheus at once: what it refuses, what was said of it before, and who is told.

The real collector, with the exporter and the queue that the component renders, and the real Prometheus with an
out-of-order window of 2 hours, in which another site's newest samples are already. Needs no host.
"""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.telemetry import alerts
from components.telemetry.dashboard import dashboard
from components.telemetry.part import PART
from components.telemetry.spec import TelemetrySpec
from edge.run.alerts import rule_file
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.hosts.system import wait_until
from lab.telemetry import collector, prometheus
from lab.telemetry.prometheus import Prometheus
from tests.components.site_parts import machine, site_of
from tests.lab.free_port import free_port
from tests.lab.rendered_collector import IMAGE, RenderedCollector

SENT, FAILED = "otelcol_exporter_sent_metric_points", "otelcol_exporter_send_failed_metric_points"
SITE = "warehouse"
HOST = machine("a", site=SITE)
WINDOW_HOURS, OFFLINE_HOURS = 2, 24
SERIES, EVERY_S = 500, 60
"""What the host measured: so many gauges, each every minute; about half a KiB/s."""
REQUEST_HOURS = 0.25
"""More than one request of the collector holds. Prometheus refuses a request whole."""


def gauges(site: str, node: str, times: list[float]) -> dict[str, Any]:
    """One request of OTLP with a point of each gauge at each of ``times``, in seconds since 1970."""
    points = [
        {
            "timeUnixNano": str(int(at * 1e9)),
            "asDouble": number,
            "attributes": [{"key": "number", "value": {"stringValue": str(number)}}],
        }
        for number in range(SERIES)
        for at in times
    ]
    metrics = [{"name": "backlog", "gauge": {"dataPoints": points}}]
    told = {"service.namespace": site, "service.name": "machine", "service.instance.id": node}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in told.items()]
    return {"resourceMetrics": [{"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": metrics}]}]}


class Backlog(RenderedCollector):
    """A site's collector whose gateway is away, and what it measured in that time."""

    def __init__(self, folder: Path, spec: TelemetrySpec, ca_file: Path) -> None:
        self.own_port = free_port()
        super().__init__(folder, spec, ca_file, self._measures, site=SITE, node=HOST.kubernetes_node)

    def _measures(self, document: dict[str, Any]) -> None:
        document["receivers"]["host_metrics"]["collection_interval"] = "5s"
        (own,) = document["receivers"]["prometheus"]["config"]["scrape_configs"]
        own.update(scrape_interval="1s", static_configs=[{"targets": [f"127.0.0.1:{self.own_port}"]}])
        service = document["service"]
        service["pipelines"]["metrics"]["receivers"] = ["host_metrics", "prometheus", "otlp"]
        service["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]["port"] = self.own_port

    def send(self, body: dict[str, Any]) -> None:
        self.take("metrics", body)

    def counted(self, name: str) -> float:
        """Of the exporter of metrics, by the collector itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.own_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and "otlp_http/metrics" in line)

    def ended(self) -> float:
        """How many points have left the queue, one way or the other."""
        return self.counted(SENT) + self.counted(FAILED)


@dataclass(frozen=True)
class Story:
    """What there was to see."""

    said: list[str]
    """By `edge check`."""
    lost_hours: int
    sent: int
    arrived: int
    failed: float
    """As the collector counts it."""
    names: set[str]
    """Of the site's metrics, as the store has them."""
    before: list[dict[str, Any]]
    after: list[dict[str, Any]]
    """What fires."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    try:
        collector.program()
        for name in ("prometheus", "promtool"):
            prometheus.program(name)
    except EngineError as error:
        pytest.skip(str(error))
    site = site_of(HOST, name=SITE)
    written = {"image": IMAGE, "offline_hours": OFFLINE_HOURS, "out_of_order_hours": WINDOW_HOURS}
    rules = rule_file(
        [alerts.groups(TelemetrySpec.model_validate({"gateway": "https://x.example.com", **written}), site)]
    )
    with Authority() as authority, Prometheus(authority, window_hours=WINDOW_HOURS, rules=rules) as store:
        spec = TelemetrySpec.model_validate({"gateway": store.gateway, **written})
        now = time.time()
        # Another site was never away.
        store.send(gauges("another", "another-a", [now]))
        backlog = Backlog(tmp_path_factory.mktemp("backlog"), spec, authority.ca_file)
        store.stop()
        count = OFFLINE_HOURS * 3600 // EVERY_S
        times = [now - EVERY_S * (index + 0.5) for index in reversed(range(count))]
        with backlog.running():
            for start in range(0, count, 15):
                backlog.send(gauges(SITE, HOST.kubernetes_node, times[start : start + 15]))
            wait_until(lambda: "Exporting failed" in backlog.log, "it has tried in vain", deadline_s=60)
            store.start()
            before = store.alerts()
            wait_until(lambda: backlog.ended() >= count * SERIES, "its queue is empty", deadline_s=90)
            wait_until(
                lambda: any(alert["alertname"] == "EdgeTelemetryLost" for alert in store.alerts()),
                "the loss is told",
                deadline_s=60,
            )
            found = store.query(f'sum(count_over_time(backlog{{job="{SITE}/machine"}}[2d]))', time.time())
            yield Story(
                said=[finding.what for finding in PART.rules(spec, ("telemetry",), site) if finding.advice],
                lost_hours=spec.lost_hours,
                sent=count * SERIES,
                arrived=int(found[0]["value"][1]),
                failed=backlog.counted(FAILED),
                names={
                    each["metric"]["__name__"]
                    for each in store.query(f'count by (__name__) ({{job=~"{SITE}/.+"}})', time.time())
                },
                before=before,
                after=store.alerts(),
            )


def test_as_many_hours_are_lost_as_edge_check_says_before(story: Story) -> None:
    assert any(f"refuses the oldest {story.lost_hours} hours" in message for message in story.said)
    each_hour = SERIES * 3600 // EVERY_S
    lost = (story.sent - story.arrived) / each_hour
    assert story.lost_hours <= lost < story.lost_hours + REQUEST_HOURS


def test_the_collector_counts_what_is_lost(story: Story) -> None:
    # And of its own, which it sends along.
    assert story.failed == pytest.approx(story.sent - story.arrived, rel=0.001)


def test_the_loss_is_one_alert_that_names_site_and_host(story: Story) -> None:
    assert [alert for alert in story.before if alert["alertname"] == "EdgeTelemetryLost"] == []
    (lost,) = [alert for alert in story.after if alert["alertname"] == "EdgeTelemetryLost"]
    assert (lost["site"], lost["instance"], lost["severity"]) == (SITE, HOST.kubernetes_node, "critical")


def test_a_site_that_is_back_is_not_offline(story: Story) -> None:
    assert "EdgeSiteOffline" not in {alert["alertname"] for alert in story.after}


def test_the_dashboard_asks_for_metrics_by_the_names_that_they_have_in_the_store(story: Story) -> None:
    queries = " ".join(panel["targets"][0]["expr"] for panel in dashboard()["panels"])
    asked = set(re.findall(r"\b(?:system|otelcol)_\w+(?=\{)|\bup(?=\{)", queries))
    assert {"up", "otelcol_exporter_queue_size", "system_memory_usage_bytes"} <= asked
    assert asked <= story.names
    patterns = re.findall(r'__name__=~"([^"]+)"', queries)
    assert any(re.fullmatch(pattern, name) for pattern in patterns for name in story.names)
