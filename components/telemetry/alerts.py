"""Alert rules for the telemetry of a site, as Prometheus has them (Mimir and Grafana Cloud read the same). Pure.

A site that is offline is one alert: what is asked of its hosts is silent while nothing of it arrives. Metrics have the
names that Prometheus gives to OTLP's.
"""

from __future__ import annotations

from typing import Any

from components.telemetry.collector import OWN_JOB
from components.telemetry.spec import TelemetrySpec
from components.view import Site

_SILENCE = "10m"
"""A collector reads itself every 30 s; an exporter waits up to 90 s between two attempts."""
_OF_SITE = ("site", "$1", "job", "(.*)/.*")


def groups(spec: TelemetrySpec, site: Site) -> dict[str, list[dict[str, Any]]]:
    """By the name of its group, the rules: those of this site, and those that are the same for all sites."""
    return {"edge-telemetry": _of_all(), f"edge-site-{site.name}": _of_site(site, spec)}


def silent_hours(spec: TelemetrySpec) -> int:
    """After how many hours without a sign of it a site loses telemetry."""
    return min(spec.offline_hours, spec.window_hours or spec.offline_hours)


def _of_all() -> list[dict[str, Any]]:
    return [
        _rule(
            "EdgeTelemetryLost",
            _by_exporter("otelcol_exporter_send_failed_.+"),
            "critical",
            "{{ $labels.instance }}: the gateway has refused telemetry",
            "{{ $value | humanize }} items of {{ $labels.exporter }} in the last hour are lost: what a gateway refuses"
            " is not sent again. After an outage: its out-of-order window. Else: the token; the log of the collector.",
        ),
        _rule(
            "EdgeTelemetryQueueFull",
            _by_exporter("otelcol_exporter_enqueue_failed_.+"),
            "critical",
            "{{ $labels.instance }}: the queue is full, and the newest telemetry is lost",
            "{{ $value | humanize }} items of {{ $labels.exporter }} in the last hour found no room. Raise"
            " `offline_hours` or `rate` of the site.",
        ),
        _rule(
            "EdgeQueueDamaged",
            _with_site("sum by (job, instance) (increase(edge_queue_files_damaged_total[1d])) > 0"),
            "warning",
            "{{ $labels.instance }}: a damaged queue was moved aside",
            "What it held was not sent. A host where this comes again has a disk that loses what it has confirmed.",
        ),
        _rule(
            "EdgeLinkDown",
            _with_site("edge_link_up == 0 and max_over_time(edge_link_up[1d]) == 1"),
            "warning",
            "{{ $labels.instance }}: the link of {{ $labels.device }} is down",
            "It was up within the last day. Look at the cable, the switch, and the other end.",
            lasting="10m",
        ),
        _rule(
            "EdgeDiskWorn",
            _with_site("edge_disk_life_used_percent >= 90"),
            "warning",
            "{{ $labels.instance }}: {{ $labels.device }} has used {{ $value }} % of its life",
            "By the disk's own count of what its maker has planned it for. Replace it before it stops taking writes.",
        ),
    ]


def _of_site(site: Site, spec: TelemetrySpec) -> list[dict[str, Any]]:
    own = f'job="{site.name}/{OWN_JOB}"'
    hours = silent_hours(spec)
    beyond = f"absent_over_time(up{{{own}}}[{hours}h])"
    what = (
        f"the gateway takes no metrics that are more than {hours} h old"
        if spec.window_hours is not None and spec.window_hours < spec.offline_hours
        else f"its queues hold {hours} h"
    )
    labels = {"site": site.name}
    found = [
        _rule(
            "EdgeSiteOffline",
            f"absent_over_time(up{{{own}}}[{_SILENCE}]) unless on () {beyond}",
            "warning",
            f"{site.name} sends nothing",
            f"Nothing has come from any of its hosts for {_SILENCE}. What they measure is safe for {hours} h.",
            labels,
        ),
        _rule(
            "EdgeSiteLosesTelemetry",
            beyond,
            "critical",
            f"{site.name} has sent nothing for {hours} h, and loses telemetry now",
            f"Beyond that, {what}.",
            labels,
        ),
    ]
    if len(site.machines) > 1:
        found += [
            _rule(
                "EdgeHostOffline",
                f'absent_over_time(up{{{own},instance="{machine.kubernetes_node}"}}[{_SILENCE}])'
                f" and on () count(count_over_time(up{{{own}}}[{_SILENCE}]))",
                "warning",
                f"{machine.kubernetes_node} sends nothing, other hosts of {site.name} do",
                f"Nothing has come from its collector for {_SILENCE}.",
                {**labels, "instance": machine.kubernetes_node},
            )
            for machine in site.machines
        ]
    return found


def _by_exporter(names: str) -> str:
    """What was added in an hour. A collector shows such a counter when it counts for the first time, so that its first
    value has nothing before it to be compared with."""
    counter, who = f'{{__name__=~"{names}"}}', "sum by (job, instance, exporter)"
    return _with_site(f"({who} (increase({counter}[1h])) > 0) or ({who} ({counter} unless {counter} offset 1h) > 0)")


def _with_site(expression: str) -> str:
    return f"label_replace({expression}, {', '.join(map(_quoted, _OF_SITE))})"


def _quoted(text: str) -> str:
    return f'"{text}"'


def _rule(
    name: str,
    expression: str,
    severity: str,
    summary: str,
    description: str,
    labels: dict[str, str] | None = None,
    *,
    lasting: str | None = None,
) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        **({"for": lasting} if lasting else {}),
        "labels": {"severity": severity, **(labels or {})},
        "annotations": {"summary": summary, "description": description},
    }
