"""Telemetry as a part of a site."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.consequence import Edit, Effect, Removal
from components.egress import Egress
from components.host.machine import Machine
from components.part import Astray, Building, Part, Phase
from components.telemetry import alerts, host_health
from components.telemetry.collector import volume_mib
from components.telemetry.plan import NAME, NAMESPACE
from components.telemetry.spec import TelemetrySpec
from components.view import Download, Scraper, SecretNeed, Site, Volume
from sitefile.problems import DataPath, Finding

TOKEN = "telemetry-token"

REMOVAL = Removal(
    Edit("telemetry-removed", "Telemetry is removed", Effect.DESTROYS, "**deletes the collectors and their queues**"),
    "the collectors go, and with them what they have queued on disk and not sent yet.",
    "wait until the queues are empty; then `--allow-destroy telemetry`",
)
_LONGEST_HOST = 52 - len(f"{NAME}-")
"""Pods of a StatefulSet carry its name and a hash of ten characters in a label, which has at most 63."""


class TelemetryPart(Part[TelemetrySpec]):
    """An OpenTelemetry collector on each host."""

    spec = TelemetrySpec
    phase = Phase.IN_CLUSTER
    module = "components.telemetry.component"
    component = "Telemetry"
    told = {"telemetry_endpoint": "Gateway that metrics are sent to."}
    removal = REMOVAL
    per_host = True
    cleans = (host_health.ROLE,)
    belongs_to = {"instance_id": "gateway", "out_of_order_hours": "gateway"}

    def build(self, spec: TelemetrySpec, building: Building) -> None:
        from components.telemetry.component import Telemetry, TelemetryArgs

        site = building.site
        Telemetry(
            f"{site.name}-telemetry",
            TelemetryArgs(
                spec=spec,
                site=site,
                joined=building.joined,
                token=building.secret(TOKEN),
                egress=building.egress,
                hosts=building.hosts,
            ),
            building.in_cluster(),
        )

    def astray(self, spec: TelemetrySpec, egress: Egress) -> Mapping[str, Astray]:
        return {}

    def secrets(self, spec: TelemetrySpec) -> Sequence[SecretNeed]:
        return [SecretNeed(TOKEN, "token of the telemetry gateway")]

    def outputs(self, spec: TelemetrySpec, site: Site) -> Mapping[str, Any]:
        return {"telemetry_endpoint": spec.gateway}

    def downloads(self, spec: TelemetrySpec, at: DataPath) -> Iterator[Download]:
        yield Download.of_image((*at, "image"), "the collector's image", spec.image)
        if spec.tools_image:
            yield Download.of_image((*at, "tools_image"), "the image beside the collector", spec.tools_image)

    def volumes(self, spec: TelemetrySpec, at: DataPath) -> Iterator[Volume]:
        yield Volume((*at, "storage_class"), spec.storage_class)

    def rules(self, spec: TelemetrySpec, at: DataPath, site: Site) -> Iterator[Finding]:
        needed = math.ceil(volume_mib(spec) / 1024)
        small = [machine for machine in site.machines if machine.known and machine.hardware.disk_gib <= needed]
        if small:
            names = ", ".join(f"`{machine.name}` ({machine.hardware.disk_gib} GiB)" for machine in small)
            yield Finding(
                (*at, "offline_hours") if "offline_hours" in spec.model_fields_set else at,
                f"the queue of {spec.offline_hours} hours takes {needed} GiB, more than the disk of {names} has",
                "a queue that each host has room for",
                "lower `offline_hours`, or `rate`",
            )
        if spec.lost_hours:
            yield _too_late(spec, at)
        for machine in site.machines:
            # A host that was renamed keeps the name of its collector.
            name = machine.installed_name
            if len(name) > _LONGEST_HOST:
                yield Finding(
                    ("hosts", machine.index, "renamed_from" if machine.spec.renamed_from else "name"),
                    f"`{name}` has {len(name)} characters, and Kubernetes could not make the pod of its"
                    f" collector, `{NAME}-{name}`",
                    f"at most {_LONGEST_HOST} characters for the name of a host with telemetry",
                    "replace the host by one with a shorter name"
                    if machine.spec.renamed_from
                    else "shorten the name of the host",
                )

    def host_checks(self, spec: TelemetrySpec, machine: Machine, site: Site) -> str:
        return host_health.host_checks(machine) if spec.host_health else ""

    def alert_groups(self, spec: TelemetrySpec, site: Site) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        return alerts.groups(spec, site)

    def scraper(self, spec: TelemetrySpec) -> Scraper:
        return Scraper(namespace=NAMESPACE, service_account=NAME)


def _too_late(spec: TelemetrySpec, at: DataPath) -> Finding:
    """The queue endures a longer outage than the gateway takes metrics of."""
    window = spec.window_hours
    return Finding(
        (*at, "offline_hours") if "offline_hours" in spec.model_fields_set else at,
        f"the queue keeps {_hours(spec.offline_hours)}, and the gateway takes metrics that are at most {window} h older"
        f" than its newest: after the longest outage it refuses the oldest {_hours(spec.lost_hours)} of metrics",
        f"a gateway that takes metrics of {_hours(spec.offline_hours)}, by `out_of_order_hours`",
        "ask for its out-of-order window to be raised (Grafana Cloud: a ticket), then write"
        f" `out_of_order_hours: {spec.offline_hours}`; or accept the loss, which"
        " `otelcol_exporter_send_failed_metric_points` counts",
        advice=True,
    )


def _hours(count: int) -> str:
    return f"{count} hour{'s' * (count != 1)}"


PART = TelemetryPart()
