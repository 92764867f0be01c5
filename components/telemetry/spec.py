"""What a human writes about a site's telemetry: where it goes, and how long it waits on disk when it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from components import urls
from components.specs import Spec
from components.types import DnsLabel, HttpsUrl, ImageRef
from sitefile.problems import Finding
from sitefile.spec_shape import UNIT

_GRAFANA_CLOUD = ".grafana.net"
_GRAFANA_CLOUD_HOURS = 2
"""Out-of-order window of a tenant whose limit nobody has raised (Grafana Cloud's page on usage limits, 2026)."""

KibPerSecond = Annotated[float, Field(gt=0, le=10240, json_schema_extra={UNIT: "KiB/s"})]


class DataRate(Spec):
    """How much one host sends: sizes its queue. Uncompressed OTLP, in KiB/s."""

    metrics: KibPerSecond = 4
    """Metrics. The site's own are below 2 KiB/s on a host of 32 threads; the rest is for workloads."""

    logs: KibPerSecond = 4
    """Logs that workloads send by OTLP, those of pods (`pod_logs`), and events."""

    traces: KibPerSecond = 2
    """Traces that workloads send by OTLP."""


class PodLogs(Spec):
    """What pods write to their standard output and error, from the files that the kubelet keeps of it."""

    exclude_namespaces: Annotated[tuple[DnsLabel, ...], Field(max_length=64, examples=[["kube-system"]])] = ()
    """Namespaces whose logs stay on the host. Those of the collectors always do."""


class Events(Spec):
    """What Kubernetes says of its objects: a pod that has no node, an image that cannot be pulled, a failed probe."""

    namespaces: Annotated[tuple[DnsLabel, ...], Field(max_length=64, examples=[["edge-inference"]])] = ()
    """Only events of these namespaces; those of nodes are in `default`. Without it all are sent."""


class TelemetrySpec(Spec):
    """An OpenTelemetry collector on each host. The gateway's token is the secret `telemetry-token`."""

    gateway: HttpsUrl
    """OTLP over HTTP endpoint, such as https://otlp-gateway-prod-eu-west-2.grafana.net/otlp."""

    instance_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,128}$", examples=["123456"])] | None = None
    """User name for basic authentication (Grafana Cloud: the instance id, in quotation marks). Without it the
    token is sent as a bearer token."""

    offline_hours: Annotated[int, Field(ge=1, le=720)] = 24
    """How long the uplink may be away before the newest data is refused, in hours."""

    out_of_order_hours: Annotated[int, Field(ge=1, le=720, examples=[24])] | None = None
    """How much older than its newest sample the gateway still takes metrics, in hours. The newest one may be another
    site's, so that a site which was away for longer loses the rest. Grafana Cloud: 2 without this field; its support
    raises it. Other gateways: no limit without this field (Prometheus: `out_of_order_time_window`)."""

    rate: DataRate = DataRate()
    """Expected data rate of one host."""

    containers: bool = False
    """Also measure each container (CPU, memory, file system) and the network of each pod, every minute. It takes no
    further right, and about 0.02 KiB/s of `rate.metrics` for each container."""

    pod_logs: PodLogs | None = None
    """Also send the logs of all pods; `pod_logs: {}` is enough. What looks like a secret is masked before it leaves the
    host. They share the queue of `rate.logs`: raise it to what the pods write."""

    events: Events | None = None
    """Also send Kubernetes events, once for the whole site; `events: {}` is enough. What looks like a secret is masked.
    They share the queue of `rate.logs`. Collectors may then read the events of all namespaces."""

    host_health: bool = False
    """Also measure the link of each network card and the wear of SSDs (NVMe, SATA). A timer on each host looks every
    minute. Wear needs `smartctl` on the host; a host without it is told, not refused."""

    workload_names: bool = False
    """Also name the pod, its namespace and its Deployment, StatefulSet, DaemonSet, Job or CronJob on logs and traces
    that workloads send, and the latter on the logs of pods. Collectors may then read all pods of the cluster."""

    image: ImageRef
    """The collector: a distribution with the Kubernetes components (contrib or k8s), by digest."""

    tools_image: ImageRef | None = None
    """An image with busybox, by digest: it moves damaged queue files aside before the collector starts, and reads the
    host's sensors (temperature, power, wear of eMMC). Without it neither is done. K3s has one for its volumes."""

    storage_class: DnsLabel = "local-path"
    """Storage class of the queue's volume. K3s' own keeps it on the host's disk."""

    def conflicts(self) -> Iterator[Finding]:
        if self.host_health and self.tools_image is None:
            yield Finding(
                ("host_health",),
                "`tools_image: null` leaves nothing that reads what the host has measured",
                "an image in `tools_image`",
                "remove `tools_image: null`, or `host_health`",
            )

    @property
    def window_hours(self) -> int | None:
        """How much older than its newest sample the gateway takes metrics, in hours; None where no limit is known."""
        if self.out_of_order_hours is None and urls.parse(self.gateway).host.endswith(_GRAFANA_CLOUD):
            return _GRAFANA_CLOUD_HOURS
        return self.out_of_order_hours

    @property
    def lost_hours(self) -> int:
        """How many hours of metrics, the oldest, it refuses after the longest outage that the queue endures."""
        return 0 if self.window_hours is None else max(0, self.offline_hours - self.window_hours)
