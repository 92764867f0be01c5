"""The collectors of a site as Kubernetes objects: what all of them share, and one StatefulSet for each host.

A DaemonSet cannot give each node a volume of its own without hostPath, which the restricted Pod Security Standard
refuses (docs/decisions/0002). No shared object names a host, so adding or removing a host affects only its own objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components import egress_of_pods, ports, urls
from components.egress import Egress
from components.host.machine import Machine
from components.manifests import Manifest
from components.restricted import (
    DNS,
    allow,
    container_security,
    default_deny,
    from_namespace,
    namespace,
    pod_security,
    service_account,
    tcp,
)
from components.telemetry import collector, events, host_health, pod_logs, tools
from components.telemetry.collector import QUEUE_DIRECTORY, Queue
from components.telemetry.host_folder import HostFolder
from components.telemetry.spec import TelemetrySpec
from components.view import Scrape, Site

NO_EGRESS = Egress()
NAMESPACE = collector.NAMESPACE
NAME = "otel"
CONFIG = "otel-config"
CREDENTIALS = "otel-credentials"

_CONFIG_FILE = "config.yaml"
_QUEUE = {"name": "queue", "mountPath": QUEUE_DIRECTORY}
_USER = 10001
_SMALL_HOST_MIB = 1024
_LABELS = {"app.kubernetes.io/name": "otel-collector", "app.kubernetes.io/part-of": "edge-telemetry"}


@dataclass(frozen=True)
class TelemetryPlan:
    """What all collectors of a site share."""

    namespace: Manifest
    network_policies: tuple[Manifest, ...]
    service_account: Manifest
    cluster_role: Manifest
    cluster_role_binding: Manifest
    of_events: Mapping[str, Manifest]
    """By role, the rights on events and on the Lease that says who reads them."""
    config_map: Manifest
    service: Manifest
    configuration: str
    queues: tuple[Queue, ...]
    volume_mib: int


def plan(spec: TelemetrySpec, site: Site) -> TelemetryPlan:
    """The shared objects. The collectors scrape what the other parts of ``site`` offer."""
    text = collector.configuration(
        spec,
        site=site.name,
        tier=site.tier,
        region=site.region,
        labels=site.labels,
        scrapes=site.scrapes,
        ca_file=egress_of_pods.BUNDLE if site.egress.authorities else None,
        ipv6=site.prefers_ipv6,
    )
    queues, volume = collector.queues(spec), collector.volume_mib(spec)
    of_kubelet = [{"apiGroups": [""], "resources": ["nodes/stats"], "verbs": ["get"]}, *_more_rights(spec)]
    cluster_role, cluster_role_binding = _granted("ClusterRole", f"{NAMESPACE}-kubelet", of_kubelet)
    return TelemetryPlan(
        namespace=namespace(NAMESPACE),
        network_policies=(default_deny(NAMESPACE), _allowed(spec, site.scrapes, site.egress)),
        service_account=service_account(NAME, NAMESPACE),
        cluster_role=cluster_role,
        cluster_role_binding=cluster_role_binding,
        of_events=_of_events() if spec.events else {},
        config_map={
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CONFIG, "namespace": NAMESPACE},
            "data": {_CONFIG_FILE: text, **_scripts(spec)},
        },
        service=_service(),
        configuration=text,
        queues=queues,
        volume_mib=volume,
    )


def credentials(token: Any) -> Manifest:
    """The Secret with the gateway's token."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": CREDENTIALS, "namespace": NAMESPACE},
        "type": "Opaque",
        "stringData": {"token": token},
    }


def folders_of(spec: TelemetrySpec, machine: Machine) -> Mapping[str, Manifest]:
    """By role, the volume of each folder of one host that its collector reads, and the claim on it."""
    found: dict[str, Manifest] = {}
    for folder in _folders(spec):
        found[folder.name] = folder.volume(machine, NAMESPACE)
        found[f"{folder.name}-claim"] = folder.claim(machine, NAMESPACE)
    return found


def collector_of(
    spec: TelemetrySpec, shared: TelemetryPlan, machine: Machine, egress: Egress = NO_EGRESS, mark: Any = None
) -> Manifest:
    """The StatefulSet of one host, held to its node; its volume follows from the claim template. With another ``mark``
    the collector starts anew (``HeldEgress.mark``)."""
    annotations = {"checksum/config": _checksum("".join(shared.config_map["data"].values()))}
    if mark is not None:
        annotations[egress_of_pods.MARK] = mark
    labels = {**_LABELS, "app.kubernetes.io/instance": machine.installed_name}
    request_mib, limit_mib = (64, 160) if machine.hardware.memory_mib < _SMALL_HOST_MIB else (128, 384)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": f"{NAME}-{machine.installed_name}", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "serviceName": NAME,
            "selector": {"matchLabels": labels},
            # A queue that was not sent yet outlives the collector.
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {
                    "serviceAccountName": NAME,
                    "automountServiceAccountToken": False,
                    "nodeSelector": {"kubernetes.io/hostname": machine.kubernetes_node},
                    # Like the pods of a DaemonSet: a host with problems must still be measured.
                    "tolerations": [{"operator": "Exists"}],
                    "securityContext": {
                        **pod_security(_USER),
                        **({"supplementalGroups": [pod_logs.READERS_GROUP]} if spec.pod_logs else {}),
                    },
                    "terminationGracePeriodSeconds": 60,
                    **({"initContainers": [tools.checks_queue(spec.tools_image, _QUEUE)]} if spec.tools_image else {}),
                    "containers": [
                        _container(spec, egress, request_mib=request_mib, limit_mib=limit_mib),
                        *([_sidecar(spec, spec.tools_image)] if spec.tools_image else []),
                    ],
                    "volumes": [
                        *_volumes(),
                        *(folder.mounted(machine) for folder in _folders(spec)),
                        *([tools.volume(CONFIG)] if spec.tools_image else []),
                        *egress_of_pods.volumes(egress),
                    ],
                },
            },
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "queue"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "storageClassName": spec.storage_class,
                        "resources": {"requests": {"storage": f"{shared.volume_mib}Mi"}},
                    },
                }
            ],
        },
    }


def _folders(spec: TelemetrySpec) -> tuple[HostFolder, ...]:
    """Folders of a host that its collector reads."""
    asked = ((pod_logs.FOLDER, spec.pod_logs is not None), (host_health.FOLDER, spec.host_health))
    return tuple(folder for folder, wanted in asked if wanted)


def _scripts(spec: TelemetrySpec) -> Mapping[str, str]:
    return tools.scripts(host_health=spec.host_health) if spec.tools_image else {}


def _sidecar(spec: TelemetrySpec, image: str) -> dict[str, Any]:
    return tools.measures_host(image, _QUEUE, *([host_health.FOLDER.mount()] if spec.host_health else []))


def _more_rights(spec: TelemetrySpec) -> list[dict[str, Any]]:
    # Rights know no nodes: a collector asks for the pods of its own only, and may ask for all.
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    return [pods] if spec.workload_names else []


def _of_events() -> Mapping[str, Manifest]:
    name = f"{NAMESPACE}-events"
    reads, reads_binding = _granted("ClusterRole", name, events.RIGHTS)
    elects, elects_binding = _granted("Role", name, events.RIGHTS_ON_LEASE)
    return {
        "events-role": reads,
        "events-role-binding": reads_binding,
        "events-lease-role": elects,
        "events-lease-role-binding": elects_binding,
    }


def _granted(kind: str, name: str, rules: Sequence[Mapping[str, Any]]) -> tuple[Manifest, Manifest]:
    """A role with ``rules``, and its binding to the collectors."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": name, **({"namespace": NAMESPACE} if kind == "Role" else {})}
    return (
        {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "rules": [dict(rule) for rule in rules]},
        {
            "apiVersion": f"{group}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
    )


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _service() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS},
        "spec": {
            "type": "ClusterIP",
            # Workloads reach the collector of their own node.
            "internalTrafficPolicy": "Local",
            "selector": _LABELS,
            "ports": [
                {
                    "name": "otlp-grpc",
                    "appProtocol": "grpc",
                    "port": collector.OTLP_GRPC_PORT,
                    "targetPort": "otlp-grpc",
                },
                {"name": "otlp-http", "port": collector.OTLP_HTTP_PORT, "targetPort": "otlp-http"},
            ],
        },
    }


def _allowed(spec: TelemetrySpec, scrapes: Sequence[Scrape], egress_of_site: Egress) -> Manifest:
    # Gateway, kubelets and API server have names or node addresses; listing nodes would tie this object to hosts.
    gateway_port = urls.parse(spec.gateway).port
    proxy = [egress_of_site.proxy.port] if egress_of_site.proxy else []
    egress: list[Mapping[str, Any]] = [DNS, {"ports": tcp(gateway_port, ports.KUBELET, ports.KUBERNETES_API, *proxy)}]
    egress += [{"to": from_namespace(scrape.namespace), "ports": tcp(scrape.port)} for scrape in scrapes]
    return allow(
        NAMESPACE,
        _LABELS,
        ingress=(
            {
                "from": [{"namespaceSelector": {}}],
                "ports": tcp(collector.OTLP_GRPC_PORT, collector.OTLP_HTTP_PORT),
            },
        ),
        egress=egress,
    )


def _container(spec: TelemetrySpec, egress: Egress, *, request_mib: int, limit_mib: int) -> dict[str, Any]:
    healthy = {"httpGet": {"path": "/", "port": "health"}, "periodSeconds": 10, "timeoutSeconds": 5}
    way_out = egress_of_pods.container(egress)
    return {
        "name": "collector",
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--config=/etc/otelcol/config.yaml"],
        "env": [
            _from_field("K8S_NODE_NAME", "spec.nodeName"),
            _from_field("K8S_NODE_IP", "status.hostIP"),
            _from_field("POD_IP", "status.podIP"),
            # The runtime collects before the memory limiter has to refuse.
            {"name": "GOMEMLIMIT", "value": f"{limit_mib * 8 // 10}MiB"},
        ],
        "ports": [
            {"name": "otlp-grpc", "containerPort": collector.OTLP_GRPC_PORT},
            {"name": "otlp-http", "containerPort": collector.OTLP_HTTP_PORT},
            {"name": "health", "containerPort": collector.HEALTH_PORT},
        ],
        # A full queue is compacted before the collector answers.
        "startupProbe": {**healthy, "failureThreshold": 60},
        "livenessProbe": {**healthy, "failureThreshold": 6},
        "readinessProbe": healthy,
        "resources": {
            "requests": {"cpu": "50m", "memory": f"{request_mib}Mi"},
            "limits": {"cpu": "500m", "memory": f"{limit_mib}Mi"},
        },
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/otelcol", "readOnly": True},
            {"name": "credentials", "mountPath": "/etc/otelcol-credentials", "readOnly": True},
            {"name": "api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
            _QUEUE,
            *([pod_logs.FOLDER.mount()] if spec.pod_logs else []),
            *way_out.pop("volumeMounts", ()),
        ],
        **way_out,
    }


def _volumes() -> list[dict[str, Any]]:
    return [
        {"name": "config", "configMap": {"name": CONFIG}},
        {"name": "credentials", "secret": {"secretName": CREDENTIALS, "defaultMode": 0o440}},
        {
            "name": "api-access",
            "projected": {
                "defaultMode": 0o440,
                "sources": [
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                ],
            },
        },
    ]


def _from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
