"""Alert rules as Prometheus itself reads and evaluates them, by its own tool. Needs no host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.telemetry import alerts
from components.telemetry.dashboard import dashboard
from components.telemetry.spec import TelemetrySpec
from edge.run.alerts import alert_rules, rule_file
from engine.obtain.pin import EngineError
from lab.telemetry import prometheus
from stacks.catalogue import PROJECT_ROOT
from tests.components.site_parts import machine, site_of

HOSTS = [machine(name, f"10.0.0.{number}", site="plant") for number, name in enumerate("abc", 11)]
SPEC = TelemetrySpec.model_validate(
    {
        "gateway": "https://otlp-gateway-prod-eu-west-2.grafana.net/otlp",
        "image": f"docker.io/x/y@sha256:{'0' * 64}",
        "offline_hours": 24,
    }
)
RULES = rule_file([alerts.groups(SPEC, site_of(*HOSTS, name="plant"))])


@pytest.fixture(scope="module")
def promtool() -> Path:
    try:
        return prometheus.program("promtool")
    except EngineError as error:
        pytest.skip(str(error))


def run(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_the_rules_of_all_sites_of_the_project(promtool: Path, tmp_path: Path) -> None:
    sites = sorted((PROJECT_ROOT / "stacks" / "sites").glob("[!_]*.yaml"))
    file = tmp_path / "alerts.yaml"
    file.write_text(alert_rules(sites, PROJECT_ROOT))
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", file)


def test_prometheus_accepts_every_query_of_the_dashboard(promtool: Path, tmp_path: Path) -> None:
    values = {"$site": "(plant|prod)", "$instance": ".*", "$__rate_interval": "2m"}
    rules = []
    for panel in dashboard()["panels"]:
        query = panel["targets"][0]["expr"]
        for variable, value in values.items():
            query = query.replace(variable, value)
        assert "$" not in query
        rules.append({"record": f"panel_{panel['id']}", "expr": query})
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", tmp_path / "rules.yaml")


def up(host: str, values: str) -> dict[str, str]:
    return {"series": f'up{{job="plant/otel-collector",instance="plant-{host}"}}', "values": values}


def counter(name: str, values: str, labels: str = "") -> dict[str, str]:
    more = f",{labels}" if labels else ""
    return {"series": f'{name}{{job="plant/otel-collector",instance="plant-a"{more}}}', "values": values}


HERE = [up(host, "1x600") for host in "abc"]
FAILED = "otelcol_exporter_send_failed_metric_points_total"
REFUSED = "otelcol_exporter_enqueue_failed_log_records_total"
OF_ENO2 = 'device="eno2"'
OF_METRICS, OF_LOGS = 'exporter="otlp_http/metrics"', 'exporter="otlp_http/logs"'

# What arrives, one value a minute; the minute that is looked at; how many of each alert fire then.
CASES: dict[str, tuple[list[dict[str, str]], int, dict[str, int]]] = {
    "all is well": ([*HERE, counter("edge_queue_files_damaged_total", "2x600")], 300, {}),
    "a site of three hosts is offline": ([up(host, "1x60") for host in "abc"], 90, {"EdgeSiteOffline": 1}),
    "one host of three is offline": ([up("a", "1x60"), *HERE[1:]], 90, {"EdgeHostOffline": 1}),
    "a site is away for longer than the gateway's 2 hours": (
        [up(host, "1x60") for host in "abc"],
        60 + 130,
        {"EdgeSiteLosesTelemetry": 1},
    ),
    "a site is back": ([up(host, "1x60 _x200 1x300") for host in "abc"], 300, {}),
    "the first refusal that a collector counts": (
        [*HERE, counter(FAILED, "_x200 5000x400", OF_METRICS)],
        210,
        {"EdgeTelemetryLost": 1},
    ),
    "more is refused": ([*HERE, counter(FAILED, "5000x200 5001x400", OF_METRICS)], 210, {"EdgeTelemetryLost": 1}),
    "an old refusal": ([*HERE, counter(FAILED, "5000x600", OF_METRICS)], 300, {}),
    "a queue is full": ([*HERE, counter(REFUSED, "_x200 1x400", OF_LOGS)], 210, {"EdgeTelemetryQueueFull": 1}),
    "a link that was up is down for ten minutes": (
        [*HERE, counter("edge_link_up", "1x200 0x400", 'device="eno1"'), counter("edge_link_up", "1x600", OF_ENO2)],
        212,
        {"EdgeLinkDown": 1},
    ),
    "a link is down for a moment": ([*HERE, counter("edge_link_up", "1x200 0x8 1x400", OF_ENO2)], 210, {}),
    "a link that was never up": ([*HERE, counter("edge_link_up", "0x600", OF_ENO2)], 300, {}),
    "a link that was given up a day ago": (
        [*(up(host, "1x2000") for host in "abc"), counter("edge_link_up", "1x60 0x2000", OF_ENO2)],
        1600,
        {},
    ),
    "a disk is worn": (
        [
            *HERE,
            counter("edge_disk_life_used_percent", "89x200 90x400", 'device="sda",kind="sata"'),
            counter("edge_disk_life_used_percent", "3x600", 'device="nvme0n1",kind="nvme"'),
        ],
        210,
        {"EdgeDiskWorn": 1},
    ),
    "a damaged queue is moved aside": (
        [*HERE, counter("edge_queue_files_damaged_total", "0x200 1x400")],
        210,
        {"EdgeQueueDamaged": 1},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_happens_at_a_site_is_one_alert_or_none(promtool: Path, tmp_path: Path, name: str) -> None:
    series, minute, firing = CASES[name]
    expected: list[dict[str, Any]] = [
        {"labels": f'{{alertname="{alert}", site="plant"}}', "value": count} for alert, count in firing.items()
    ]
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname, site) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{minute}m",
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    run(promtool, "test", "rules", tmp_path / "test.yaml")
