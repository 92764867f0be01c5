"""What a human writes about a site's telemetry: where it goes, and how long it waits on disk when it cannot."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from components.specs import Spec
from components.types import DnsLabel, HttpsUrl, ImageRef
from sitefile.spec_shape import UNIT

KibPerSecond = Annotated[float, Field(gt=0, le=10240, json_schema_extra={UNIT: "KiB/s"})]


class DataRate(Spec):
    """How much one host sends: sizes its queue. Uncompressed OTLP, in KiB/s."""

    metrics: KibPerSecond = 4
    """Metrics. The site's own are below 2 KiB/s on a host of 32 threads; the rest is for workloads."""

    logs: KibPerSecond = 4
    """Logs that workloads send by OTLP."""

    traces: KibPerSecond = 2
    """Traces that workloads send by OTLP."""


class TelemetrySpec(Spec):
    """An OpenTelemetry collector on each host. The gateway's token is the secret `telemetry-token`."""

    gateway: HttpsUrl
    """OTLP over HTTP endpoint, such as https://otlp-gateway-prod-eu-west-2.grafana.net/otlp."""

    instance_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,128}$", examples=["123456"])] | None = None
    """User name for basic authentication (Grafana Cloud: the instance id, in quotation marks). Without it the
    token is sent as a bearer token."""

    offline_hours: Annotated[int, Field(ge=1, le=720)] = 24
    """How long the uplink may be away before the newest data is refused, in hours."""

    rate: DataRate = DataRate()
    """Expected data rate of one host."""

    image: ImageRef
    """The collector: a distribution with the Kubernetes components (contrib or k8s), by digest."""

    storage_class: DnsLabel = "local-path"
    """Storage class of the queue's volume. K3s' own keeps it on the host's disk."""
