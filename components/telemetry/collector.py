"""The collector's configuration: what is measured, how it is queued, where it goes.

Pure. The objects in the cluster are in ``plan``; the sizes of the queues are computed here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from components import ports
from components.telemetry import events, pod_logs, tools
from components.telemetry.spec import TelemetrySpec
from components.view import Scrape

QUEUE_DIRECTORY = "/var/lib/otelcol/queue"
TOKEN_FILE = "/etc/otelcol-credentials/token"
OWN_JOB = "otel-collector"
"""Of the collectors' metrics about themselves. In a store like Prometheus the job is `<site>/otel-collector`."""
EVENTS_JOB = "kubernetes-events"
HEALTH_PORT = 13133
OTLP_GRPC_PORT = 4317
OTLP_HTTP_PORT = 4318
NAMESPACE = "edge-telemetry"

_SIGNALS = ("metrics", "logs", "traces")
_KIB = 1024
_MIB = 1024 * 1024
_BATCH_BYTES = 256 * _KIB
"""Prometheus refuses a request whole for one sample that is too old: so much more than what is too old is lost."""

# The database grows by pages that are not all full, and a compaction writes the live data a second time beside it.
_PAGE_OVERHEAD = 1.25
_COMPACTION_COPIES = 2
_VOLUME_STEP_MIB = 256


_NOT_OF_CONTAINERS = (
    *("container.cpu.usage", "container.filesystem.available", "container.filesystem.capacity"),
    *("container.memory.available", "container.memory.major_page_faults", "container.memory.page_faults"),
    *("container.memory.rss", "container.memory.usage"),
    *("k8s.pod.cpu.time", "k8s.pod.cpu.usage", "k8s.pod.filesystem.available", "k8s.pod.filesystem.capacity"),
    *("k8s.pod.filesystem.usage", "k8s.pod.memory.available", "k8s.pod.memory.major_page_faults"),
    *("k8s.pod.memory.page_faults", "k8s.pod.memory.rss", "k8s.pod.memory.usage", "k8s.pod.memory.working_set"),
    "k8s.pod.network.errors",
)
"""What the receiver measures by default and nobody would miss: left are `container.cpu.time`,
`container.memory.working_set`, `container.filesystem.usage` and `k8s.pod.network.io`."""

_LABELS_OF_CONTAINERS = ("k8s.namespace.name", "k8s.pod.name", "k8s.container.name")


_WORKLOADS = tuple(f"k8s.{kind}.name" for kind in ("deployment", "statefulset", "daemonset", "job", "cronjob"))
"""Of a pod's owner, as its name says: needs no right to read the owner."""


@dataclass(frozen=True)
class Queue:
    """What one signal may keep on disk."""

    signal: str
    size_bytes: int


def queues(spec: TelemetrySpec) -> tuple[Queue, ...]:
    """One queue per signal, since the collector keeps one for each exporter of each pipeline.

    Size in bytes: rate (KiB/s) x 1024 x offline_hours x 3600.
    """
    seconds = spec.offline_hours * 3600
    return tuple(Queue(signal, math.ceil(getattr(spec.rate, signal) * _KIB * seconds)) for signal in _SIGNALS)


def volume_mib(spec: TelemetrySpec) -> int:
    """Size of the volume that holds full queues while they are compacted, in MiB, in steps of 256 MiB."""
    live = sum(queue.size_bytes for queue in queues(spec)) / _MIB
    needed = live * _PAGE_OVERHEAD * _COMPACTION_COPIES
    return math.ceil(needed / _VOLUME_STEP_MIB) * _VOLUME_STEP_MIB


def configuration(
    spec: TelemetrySpec,
    *,
    site: str,
    tier: str,
    region: str,
    labels: Mapping[str, str],
    scrapes: Sequence[Scrape],
    ca_file: str | None = None,
    ipv6: bool = False,
) -> str:
    """The collector's YAML, the same on every host: what differs comes from the pod's environment."""
    of_site = _of_site(site=site, tier=tier, region=region, labels=labels)
    document: dict[str, Any] = {
        "extensions": _extensions(spec),
        "receivers": _receivers(spec, scrapes),
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 20},
            **({"transform": _names_on_points()} if spec.containers else {}),
            **({"k8s_attributes": _names_of_workloads()} if spec.workload_names else {}),
            **({"redaction": pod_logs.redaction(_attributes_of_logs(spec))} if spec.pod_logs else {}),
            **({"redaction/events": pod_logs.redaction(events.ATTRIBUTES)} if spec.events else {}),
            "resource": {"attributes": [*of_site, *_of_node(), *_of_sender(site, "edge-host")]},
            # The host that reads an event is not the one that it is about.
            **({"resource/events": {"attributes": [*of_site, *_of_sender(site, EVENTS_JOB)]}} if spec.events else {}),
        },
        "exporters": {f"otlp_http/{queue.signal}": _exporter(spec, queue, ca_file) for queue in queues(spec)},
        "service": _service(spec),
    }
    if ipv6:
        # What the pod's environment says is a bare address. Before it is YAML, where a bracket begins a list.
        bare = re.compile(r"\$\{env:(?:K8S_NODE|POD)_IP\}(?=:)")
        document = json.loads(bare.sub(r"[\g<0>]", json.dumps(document)))
    text: str = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, width=120)
    return text


def _authenticator(spec: TelemetrySpec) -> str:
    return "basicauth" if spec.instance_id else "bearertokenauth"


def _extensions(spec: TelemetrySpec) -> dict[str, Any]:
    # Both authenticators watch the file: a new token needs no restart.
    authenticator = (
        {"client_auth": {"username": _literal(spec.instance_id), "password_file": TOKEN_FILE}}
        if spec.instance_id
        else {"scheme": "Bearer", "filename": TOKEN_FILE}
    )
    return {
        "health_check": {"endpoint": f"${{env:POD_IP}}:{HEALTH_PORT}"},
        _authenticator(spec): authenticator,
        **({events.ELECTOR: events.elector(NAMESPACE)} if spec.events else {}),
        "file_storage": {
            "directory": QUEUE_DIRECTORY,
            "create_directory": True,
            # Edge hosts lose power. Without fsync a torn page would cost the whole queue; with `recreate` a database
            # that is damaged all the same is set aside instead of keeping the collector from starting.
            "fsync": True,
            "recreate": True,
            "timeout": "10s",
            "compaction": {
                "directory": QUEUE_DIRECTORY,
                "on_start": True,
                "on_rebound": True,
                "cleanup_on_start": True,
            },
        },
    }


def _receivers(spec: TelemetrySpec, scrapes: Sequence[Scrape]) -> dict[str, Any]:
    own = {
        "job_name": OWN_JOB,
        "scrape_interval": "30s",
        "static_configs": [{"targets": ["127.0.0.1:8888"]}],
        "relabel_configs": [_instance()],
        "metric_relabel_configs": [
            _keep(
                "otelcol_(exporter_(queue_size|queue_capacity|enqueue_failed|send_failed|sent)"
                "|receiver_refused|process_(memory_rss|uptime)).*"
            )
        ],
    }
    host = {
        "job_name": "host-metrics",
        "scrape_interval": "30s",
        "metrics_path": tools.METRICS_PATH,
        "static_configs": [{"targets": [f"127.0.0.1:{tools.PORT}"]}],
        "relabel_configs": [_instance()],
        "metric_relabel_configs": [_keep("edge_.*")],
    }
    return {
        # What a pod without host mounts sees of the whole host: /proc is shared, its network and mounts are not.
        "host_metrics": {
            "collection_interval": "30s",
            "scrapers": {
                "cpu": {},
                "disk": {"exclude": {"devices": ["^(loop|ram|zram)\\d"], "match_type": "regexp"}},
                # A volume is a bind mount to its pod, and those are "virtual".
                "filesystem": {
                    "include_virtual_filesystems": True,
                    "include_mount_points": {"mount_points": [QUEUE_DIRECTORY], "match_type": "strict"},
                },
                "load": {},
                "memory": {},
                "paging": {},
                "system": {},
            },
        },
        "kubelet_stats": {
            "collection_interval": "30s",
            "auth_type": "serviceAccount",
            "endpoint": f"https://${{env:K8S_NODE_IP}}:{ports.KUBELET}",
            "metric_groups": ["node"],
            "collect_all_network_interfaces": {"node": True},
        },
        **({"kubelet_stats/containers": _of_containers()} if spec.containers else {}),
        **({pod_logs.RECEIVER: pod_logs.receiver(spec.pod_logs, NAMESPACE)} if spec.pod_logs else {}),
        **({events.RECEIVER: events.receiver(spec.events)} if spec.events else {}),
        "prometheus": {
            "config": {"scrape_configs": [*map(_scrape, scrapes), own, *([host] if spec.tools_image else [])]}
        },
        "otlp": {
            "protocols": {
                "grpc": {"endpoint": f"${{env:POD_IP}}:{OTLP_GRPC_PORT}"},
                "http": {"endpoint": f"${{env:POD_IP}}:{OTLP_HTTP_PORT}"},
            }
        },
    }


def _names_on_points() -> dict[str, Any]:
    """What tells containers apart, as labels: of a resource a store like Prometheus keeps job and instance only, and a
    series that is there twice makes it refuse the request."""
    return {
        "metric_statements": [
            {
                "context": "datapoint",
                "statements": [
                    f"set(attributes[{name}], resource.attributes[{name}]) where resource.attributes[{name}] != nil"
                    for name in map(json.dumps, _LABELS_OF_CONTAINERS)
                ],
            }
        ]
    }


def _names_of_workloads() -> dict[str, Any]:
    """The pod of a line by its identity, that of a sender by its address; of the pods of this node only."""
    return {
        "auth_type": "serviceAccount",
        "filter": {"node_from_env_var": "K8S_NODE_NAME"},
        "extract": {"metadata": ["k8s.namespace.name", "k8s.pod.name", *_WORKLOADS]},
        "pod_association": [
            {"sources": [{"from": "resource_attribute", "name": "k8s.pod.uid"}]},
            {"sources": [{"from": "connection"}]},
        ],
    }


def _of_containers() -> dict[str, Any]:
    """What the kubelet knows of pods and containers, cut to few series: a node has up to 110 pods."""
    return {
        "collection_interval": "60s",
        "auth_type": "serviceAccount",
        "endpoint": f"https://${{env:K8S_NODE_IP}}:{ports.KUBELET}",
        "metric_groups": ["pod", "container"],
        "resource_attributes": {"k8s.pod.uid": {"enabled": False}},
        "metrics": {name: {"enabled": False} for name in _NOT_OF_CONTAINERS},
    }


def _scrape(scrape: Scrape) -> dict[str, Any]:
    """Each collector asks only for the pods of its own node, so that each pod is scraped exactly once."""
    return {
        "job_name": scrape.job,
        "scrape_interval": f"{scrape.interval_s}s",
        "kubernetes_sd_configs": [
            {
                "role": "pod",
                "namespaces": {"names": [scrape.namespace]},
                "selectors": [{"role": "pod", "field": "spec.nodeName=${env:K8S_NODE_NAME}"}],
            }
        ],
        "relabel_configs": [
            {
                "source_labels": ["__meta_kubernetes_pod_container_port_number"],
                "action": "keep",
                "regex": str(scrape.port),
            },
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
            # Addresses of pods are the same at every site.
            {"source_labels": ["__meta_kubernetes_pod_name"], **_instance("/$$1")},
        ],
        "metric_relabel_configs": [_keep(scrape.keep)],
    }


def _instance(more: str = "") -> dict[str, str]:
    """Which of all targets of all sites this is: the name of the node, and what is added to it."""
    return {"target_label": "instance", "replacement": f"${{env:K8S_NODE_NAME}}{more}"}


def _keep(names: str) -> dict[str, Any]:
    return {"source_labels": ["__name__"], "action": "keep", "regex": names}


def _attributes_of_logs(spec: TelemetrySpec) -> Sequence[str]:
    return (*pod_logs.ATTRIBUTES, *(_WORKLOADS if spec.workload_names else ()))


def _of_site(*, site: str, tier: str, region: str, labels: Mapping[str, str]) -> list[dict[str, str]]:
    values = {
        "edge.site": site,
        "edge.tier": tier,
        "edge.region": region,
        **{f"edge.label.{key}": labels[key] for key in sorted(labels)},
        "k8s.cluster.name": site,
    }
    return [{"key": key, "value": _literal(value), "action": "upsert"} for key, value in values.items()]


def _of_node() -> list[dict[str, str]]:
    # Workloads send to the collector of their own node, so this is their host too.
    return [{"key": key, "value": "${env:K8S_NODE_NAME}", "action": "upsert"} for key in ("host.name", "k8s.node.name")]


def _of_sender(site: str, name: str) -> list[dict[str, str]]:
    # A store in the manner of Prometheus makes the labels `job` and `instance` of these three, and drops the others, or
    # keeps them aside: without them the series of all hosts would be one. What says its own keeps it.
    own = {
        "service.namespace": _literal(site),
        "service.name": name,
        "service.instance.id": "${env:K8S_NODE_NAME}",
    }
    return [{"key": key, "value": value, "action": "insert"} for key, value in own.items()]


def _exporter(spec: TelemetrySpec, queue: Queue, ca_file: str | None) -> dict[str, Any]:
    return {
        "endpoint": _literal(spec.gateway),
        "auth": {"authenticator": _authenticator(spec)},
        **({"tls": {"ca_file": ca_file, "include_system_ca_certs_pool": True}} if ca_file else {}),
        "compression": "gzip",
        "timeout": "30s",
        # 0 is "never give up": what is queued leaves the queue only by being sent.
        "retry_on_failure": {
            "enabled": True,
            "initial_interval": "5s",
            "max_interval": "60s",
            "max_elapsed_time": "0s",
        },
        "sending_queue": {
            "enabled": True,
            "storage": "file_storage",
            "sizer": "bytes",
            "queue_size": queue.size_bytes,
            "num_consumers": 2,
            # A scraper that waits for room misses its next readings; a refused reading at least counts as one.
            "block_on_overflow": False,
            # Batched behind the queue, not before it: a batch in memory would be lost with the power.
            "batch": {
                "flush_timeout": "5s",
                "sizer": "bytes",
                "min_size": min(_BATCH_BYTES, queue.size_bytes),
                "max_size": _BATCH_BYTES,
            },
        },
    }


def _service(spec: TelemetrySpec) -> dict[str, Any]:
    names = ["k8s_attributes"] if spec.workload_names else []
    processors = {
        "metrics": ["memory_limiter", "resource"],
        "logs": ["memory_limiter", *names, "resource"],
        "traces": ["memory_limiter", *names, "resource"],
    }
    receivers = {
        "metrics": ["host_metrics", "kubelet_stats", "prometheus", "otlp"],
        "logs": ["otlp"],
        "traces": ["otlp"],
    }
    pipelines = {
        signal: {"receivers": receivers[signal], "processors": processors[signal], "exporters": [f"otlp_http/{signal}"]}
        for signal in _SIGNALS
    }
    if spec.containers:
        pipelines["metrics/containers"] = {
            "receivers": ["kubelet_stats/containers"],
            "processors": ["memory_limiter", "transform", "resource"],
            "exporters": ["otlp_http/metrics"],
        }
    if spec.pod_logs:
        pipelines["logs/pods"] = {
            "receivers": [pod_logs.RECEIVER],
            # Names first: what is masked and dropped then holds for them too.
            "processors": ["memory_limiter", *names, "redaction", "resource"],
            "exporters": ["otlp_http/logs"],
        }
    if spec.events:
        pipelines["logs/events"] = {
            "receivers": [events.RECEIVER],
            "processors": ["memory_limiter", "redaction/events", "resource/events"],
            "exporters": ["otlp_http/logs"],
        }
    elector = [events.ELECTOR] if spec.events else []
    return {
        "extensions": ["health_check", _authenticator(spec), *elector, "file_storage"],
        "pipelines": pipelines,
        "telemetry": {
            "logs": {"level": "info", "encoding": "json"},
            "metrics": {
                "level": "normal",
                "readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": 8888}}}}],
            },
        },
    }


def _literal(value: str | None) -> str:
    """``value`` as the collector reads it back: a `$` would otherwise begin a variable."""
    return (value or "").replace("$", "$$")
