"""Telemetry as a part of a site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.consequence import Edit, Effect, Removal
from components.part import Building, Part, Phase
from components.telemetry.plan import NAME, NAMESPACE
from components.telemetry.spec import TelemetrySpec
from components.view import Scraper, SecretNeed, Site

TOKEN = "telemetry-token"

REMOVAL = Removal(
    Edit("telemetry-removed", "Telemetry is removed", Effect.DESTROYS, "**deletes the collectors and their queues**"),
    "the collectors go, and with them what they have queued on disk and not sent yet.",
    "wait until the queues are empty; then `--allow-destroy telemetry`",
)


class TelemetryPart(Part[TelemetrySpec]):
    """An OpenTelemetry collector on each host."""

    spec = TelemetrySpec
    phase = Phase.IN_CLUSTER
    module = "components.telemetry.component"
    component = "Telemetry"
    removal = REMOVAL
    per_host = True

    def build(self, spec: TelemetrySpec, building: Building) -> None:
        from components.telemetry.component import Telemetry, TelemetryArgs

        site = building.site
        Telemetry(
            f"{site.name}-telemetry",
            TelemetryArgs(spec=spec, site=site, joined=building.joined, token=building.secret(TOKEN)),
            building.in_cluster(),
        )

    def secrets(self, spec: TelemetrySpec) -> Sequence[SecretNeed]:
        return [SecretNeed(TOKEN, "token of the telemetry gateway")]

    def outputs(self, spec: TelemetrySpec, site: Site) -> Mapping[str, Any]:
        return {"telemetry_endpoint": spec.gateway}

    def scraper(self, spec: TelemetrySpec) -> Scraper:
        return Scraper(namespace=NAMESPACE, service_account=NAME)


PART = TelemetryPart()
