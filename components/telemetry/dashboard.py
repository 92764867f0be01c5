"""A dashboard for Grafana of all sites that send to one store like Prometheus. Pure, and the same for every fleet."""

from __future__ import annotations

from typing import Any

from components.telemetry.collector import OWN_JOB

_SCHEMA = 39
"""Version of Grafana's own form of a dashboard: of Grafana 11, which newer ones read too."""
_WIDTH, _HEIGHT = 12, 8
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_OF_SITE = 'job=~"$site/.*",instance=~"$instance"'


def _lost(names: str) -> str:
    return f'sum by (instance, exporter) (increase({{__name__=~"{names}",{_OF_SITE}}}[$__rate_interval]))'


# Title, unit as Grafana calls it, query, legend.
_PANELS = (
    ("Hosts that send", "short", f'count by (job) (up{{job=~"$site/{OWN_JOB}"}})', "{{job}}"),
    (
        "Waiting on the host's disk",
        "bytes",
        f"sum by (instance, exporter) (otelcol_exporter_queue_size{{{_OF_SITE}}})",
        "{{instance}} {{exporter}}",
    ),
    (
        "Lost: refused by the gateway",
        "short",
        _lost("otelcol_exporter_send_failed_.+"),
        "{{instance}} {{exporter}}",
    ),
    (
        "Lost: no room in the queue",
        "short",
        _lost("otelcol_exporter_enqueue_failed_.+"),
        "{{instance}} {{exporter}}",
    ),
    ("Load, 1 minute", "short", f"max by (instance) (system_cpu_load_average_1m{{{_OF_SITE}}})", "{{instance}}"),
    (
        "Memory in use",
        "bytes",
        f'sum by (instance) (system_memory_usage_bytes{{{_OF_SITE},state="used"}})',
        "{{instance}}",
    ),
    ("Temperature", "celsius", f"max by (instance) (edge_temperature_celsius{{{_OF_SITE}}})", "{{instance}}"),
    # Not added up: one rail of a board may feed the others.
    (
        "Power",
        "watt",
        f"max by (instance, sensor, kind) (edge_power_watts{{{_OF_SITE}}})",
        "{{instance}} {{sensor}} {{kind}}",
    ),
    (
        "Damaged queue files",
        "short",
        f"max by (instance) (edge_queue_files_damaged_total{{{_OF_SITE}}})",
        "{{instance}}",
    ),
    (
        "Life used of disks",
        "percent",
        f"max by (instance, device) (edge_disk_life_used_percent{{{_OF_SITE}}})",
        "{{instance}} {{device}}",
    ),
    (
        "Links of network cards: 1 is up",
        "short",
        f"min by (instance, device) (edge_link_up{{{_OF_SITE}}})",
        "{{instance}} {{device}}",
    ),
    # A cable or a plug that is going bad: up and down, and slower than it was.
    (
        "Links: changes between up and down in an hour",
        "short",
        f"sum by (instance, device) (increase(edge_link_carrier_changes_total{{{_OF_SITE}}}[1h]))",
        "{{instance}} {{device}}",
    ),
    (
        "Speed of links",
        "Mbits",
        f"max by (instance, device) (edge_link_speed_mbps{{{_OF_SITE}}})",
        "{{instance}} {{device}}",
    ),
)


def dashboard() -> dict[str, Any]:
    """In Grafana's own form, for its import. Whoever opens it chooses the store, the sites and the hosts."""
    return {
        "uid": "edge-sites",
        "title": "Edge sites",
        "tags": ["edge"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "templating": {
            "list": [
                {"name": "source", "label": "Store", "type": "datasource", "query": "prometheus"},
                _variable("site", "Site", f'label_values(up{{job=~".*/{OWN_JOB}"}}, job)', f"/(.*)\\/{OWN_JOB}/"),
                _variable("instance", "Host", f'label_values(up{{job=~"$site/{OWN_JOB}"}}, instance)'),
            ]
        },
        "panels": [_panel(index, *panel) for index, panel in enumerate(_PANELS)],
    }


def _variable(name: str, label: str, query: str, regex: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "regex": regex,
        # On each change of the time that is shown: sites come and go.
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
    }


def _panel(index: int, title: str, unit: str, query: str, legend: str) -> dict[str, Any]:
    return {
        "id": index + 1,
        "title": title,
        "type": "timeseries",
        "datasource": _SOURCE,
        "gridPos": {"x": index % 2 * _WIDTH, "y": index // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [{"refId": "A", "datasource": _SOURCE, "expr": query, "legendFormat": legend}],
    }
