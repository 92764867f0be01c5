"""Ollama and its models as Kubernetes objects.

Owns the namespace `edge-ollama`. A Job pulls a set of models into a folder of its own on the volume and compares
digests; the server has that folder read-only and no way out of the site. So it never serves a model that was not
compared, and no client can change one.

The volume is on the disk of one host, the first of those that ``placement`` finds, and so is the server. When that host
is installed anew its claim is forgotten with its node: another installation has another claim, and a pull into it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import egress_of_pods
from components.egress import Egress
from components.inference.device_plugin import GPU_LABEL, DevicePluginSpec
from components.inference.needs import CpuNeeds
from components.inference.ollama.spec import OllamaModel, OllamaSpec
from components.inference.placement import Load, Placement, Server
from components.manifests import Manifest
from components.restricted import (
    DNS,
    allow,
    container_security,
    default_deny,
    namespace,
    pod_security,
    service_account,
    tcp,
)

NO_EGRESS = Egress()
NAMESPACE = "edge-ollama"
NAME = "ollama"
SCRIPT = "ollama-script"
PORT = 11434

SERVER_MEMORY_MIB = 512
"""RAM of an Ollama without models, in MiB (assumption for sizing)."""

PULL_MEMORY_MIB = 512
"""RAM of the Job that pulls, which runs beside the server, in MiB (assumption for sizing)."""

PULL_DEADLINE_S = 3 * 3600
"""Time for a pull: 4.4 GB take an hour at 10 Mbit/s."""

REFUSED = 3
"""Exit status of the Job for a model with another digest: trying again would not help."""

HOST_LABEL = "edge/ollama"
"""Node label of the host that was chosen; its value is the platform."""

INSTALLATION = "edge/ollama-installation"
"""Annotation of that host: which installation of the machine it is."""

CLIENT_LABEL = "edge/ollama-client"
"""Namespaces with this label set to `true` may call the server."""

_USER = 10001
_SERVER_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "language-models"}
_PULL_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "pull"}
_SCRIPT_FOLDER, _SCRIPT_FILE = "/etc/ollama", "models.sh"
_MODELS_FOLDER, _STORE_FOLDER = "/models", "/store"


@dataclass(frozen=True)
class OllamaPlan:
    """Everything that makes a site answer with a language model."""

    namespace: Manifest
    network_policies: tuple[Manifest, ...]
    service_account: Manifest
    script: Manifest
    store: Manifest
    pull: Manifest
    deployment: Manifest
    service: Manifest
    device_plugin: DevicePluginSpec | None


def server(spec: OllamaSpec) -> Server:
    """Ollama with its models, as it weighs on a host."""
    return Server(
        title="Ollama",
        memory_mib=SERVER_MEMORY_MIB + PULL_MEMORY_MIB,
        loads=tuple(Load(model.name, _needs(model, spec)) for model in spec.models),
        device=spec.device,
    )


def plan(spec: OllamaSpec, placement: Placement, installation: str, egress: Egress = NO_EGRESS) -> OllamaPlan:
    """The objects for models that were placed; ``installation`` changes when the chosen host is installed anew.

    The Job goes out as ``egress`` says (`egress_of_pods.objects` are beside it); the server does not go out.
    """
    store = f"ollama-models-{_hash([host_of(placement), installation])[:8]}"
    return OllamaPlan(
        namespace=namespace(NAMESPACE),
        network_policies=(default_deny(NAMESPACE), *_allowed(egress)),
        service_account=service_account(NAME, NAMESPACE),
        script={
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": SCRIPT, "namespace": NAMESPACE},
            "data": {_SCRIPT_FILE: script()},
        },
        store={
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": store,
                "namespace": NAMESPACE,
                # The volume is made when its first pod is placed, and so after the claim.
                "annotations": {"pulumi.com/skipAwait": "true"},
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": spec.storage_class,
                "resources": {"requests": {"storage": f"{spec.storage_gib}Gi"}},
            },
        },
        pull=_pull(spec, placement, store, egress),
        deployment=_deployment(spec, placement, store),
        service={
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _SERVER_LABELS},
            "spec": {
                "type": "ClusterIP",
                "selector": _SERVER_LABELS,
                "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
            },
        },
        device_plugin=spec.device_plugin if spec.device == "gpu" else None,
    )


def host_of(placement: Placement) -> str:
    """The host that is chosen: volume, Job and server are there."""
    return placement.hosts[0]


def host_labels(placement: Placement, node: str, installation: str, *, on_gpu: bool) -> Manifest:
    """The labels by which the server, and on a GPU the device plugin, find the chosen host.

    A reimaged host is a new Node without them: ``installation`` changes with the host, and has them put on again.
    """
    labels = {HOST_LABEL: placement.platform, **({GPU_LABEL: "true"} if on_gpu else {})}
    metadata = {"name": node, "labels": labels, "annotations": {INSTALLATION: installation}}
    return {"apiVersion": "v1", "kind": "NodePatch", "metadata": metadata}


def script() -> str:
    """What the Job and the server's probes run."""
    return (Path(__file__).parent / _SCRIPT_FILE).read_text()


def pinned(models: Sequence[OllamaModel]) -> str:
    """The models as the script reads them: a name and a digest on each line."""
    return "\n".join(f"{model.name} {model.digest}" for model in models)


def in_registry(name: str) -> str:
    """Where Ollama pulls a model from, as registries are asked: its own one, unless the name says another."""
    first, slash, _ = name.partition("/")
    if not slash:
        return f"registry.ollama.ai/library/{name}"
    return name if "." in first or ":" in first else f"registry.ollama.ai/{name}"


def set_of(models: Sequence[OllamaModel]) -> str:
    """Folder of these models on the volume: another one for every other set of names and digests."""
    return hashlib.sha256("\n".join(sorted(pinned(models).splitlines())).encode()).hexdigest()[:16]


def _needs(model: OllamaModel, spec: OllamaSpec) -> CpuNeeds | None:
    return model.gpu if spec.device == "gpu" else model.cpu


def _allowed(egress: Egress) -> tuple[Manifest, ...]:
    proxy = [egress.proxy.port] if egress.proxy else []
    clients = {
        "from": [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {CLIENT_LABEL: "true"}}}],
        "ports": tcp(PORT),
    }
    return (
        allow(NAMESPACE, _SERVER_LABELS, ingress=[clients]),
        # The registry answers with addresses of a content network, which no policy can name.
        allow(NAMESPACE, _PULL_LABELS, egress=[DNS, {"ports": tcp(443, *proxy)}], name="allow-pull"),
    )


def _pull(spec: OllamaSpec, placement: Placement, store: str, egress: Egress) -> Manifest:
    """A Job cannot be changed, so its name is a hash of what is in it."""
    way_out = egress_of_pods.container(egress)
    container = {
        "name": "pull",
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": _command("pull"),
        "env": [
            *_environment(spec, f"127.0.0.1:{PORT}"),
            {"name": "STORE", "value": _STORE_FOLDER},
            {"name": "SET", "value": set_of(spec.models)},
            _NO_GPU,
            *egress_of_pods.of_go(egress),
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": "100m", "memory": f"{PULL_MEMORY_MIB}Mi"},
            "limits": {"cpu": "1", "memory": f"{PULL_MEMORY_MIB}Mi"},
        },
        "securityContext": container_security(),
        "volumeMounts": [
            *_MOUNTS,
            {"name": "models", "mountPath": _STORE_FOLDER},
            *way_out.pop("volumeMounts", ()),
        ],
        **way_out,
    }
    pod = _pod(placement, store, [container])
    pod["volumes"] += egress_of_pods.volumes(egress)
    body = {
        "backoffLimit": 4,
        "activeDeadlineSeconds": PULL_DEADLINE_S,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": "pull", "operator": "In", "values": [REFUSED]},
                }
            ]
        },
        "template": {
            "metadata": {
                "labels": _PULL_LABELS,
                "annotations": {"checksum/script": _hash(script())},
            },
            "spec": {**pod, "restartPolicy": "Never"},
        },
    }
    metadata = {"name": f"pull-{_hash(body)[:12]}", "namespace": NAMESPACE, "labels": _PULL_LABELS}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": body}


def _deployment(spec: OllamaSpec, placement: Placement, store: str) -> Manifest:
    pod: dict[str, Any] = {**_pod(placement, store, [_server(spec, placement)]), "terminationGracePeriodSeconds": 60}
    if spec.device == "gpu":
        pod["runtimeClassName"] = "nvidia"
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _SERVER_LABELS},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            # Models may take long to load: about as long as the startup probe allows.
            "progressDeadlineSeconds": 1800,
            # The old server gives up memory and GPU before the new one asks for them.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _SERVER_LABELS},
            "template": {
                "metadata": {"labels": _SERVER_LABELS, "annotations": {"checksum/script": _hash(script())}},
                "spec": pod,
            },
        },
    }


def _server(spec: OllamaSpec, placement: Placement) -> dict[str, Any]:
    needs = [need for model in spec.models if (need := _needs(model, spec))]
    memory = f"{SERVER_MEMORY_MIB + sum(need.memory_mib for need in needs)}Mi"
    milli_cores = max(100, int(1000 * sum(need.cores for need in needs)))
    limits = {"cpu": f"{2 * milli_cores}m", "memory": memory}
    environment = [
        *_environment(spec, f":{PORT}"),
        {"name": "OLLAMA_MODELS", "value": _MODELS_FOLDER},
        {"name": "OLLAMA_KEEP_ALIVE", "value": spec.keep_alive},
        {"name": "OLLAMA_NUM_PARALLEL", "value": str(spec.parallel)},
        {"name": "OLLAMA_MAX_LOADED_MODELS", "value": str(len(spec.models))},
        {"name": "OLLAMA_CONTEXT_LENGTH", "value": str(spec.context)},
    ]
    if spec.device == "cpu":
        environment.append(_NO_GPU)
    else:
        limits["nvidia.com/gpu"] = "1"
    if placement.platform == "jetson" and spec.jetpack:
        environment.append({"name": "JETSON_JETPACK", "value": str(spec.jetpack)})
    return {
        "name": NAME,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["ollama"],
        "args": ["serve"],
        "env": environment,
        "ports": [{"name": "http", "containerPort": PORT}],
        # Loads every model, and so shows that the host has the memory; a first load reads GB from a disk.
        "startupProbe": {
            "exec": {"command": _command("loaded")},
            "periodSeconds": 10,
            "timeoutSeconds": 300,
            "failureThreshold": 12,
        },
        "livenessProbe": {
            "httpGet": {"path": "/api/version", "port": "http"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "readinessProbe": {"exec": {"command": _command("present")}, "periodSeconds": 10, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": f"{milli_cores}m", "memory": memory}, "limits": limits},
        "securityContext": container_security(),
        "volumeMounts": [
            *_MOUNTS,
            {"name": "models", "mountPath": _MODELS_FOLDER, "subPath": set_of(spec.models), "readOnly": True},
        ],
    }


def _pod(placement: Placement, store: str, containers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Server and Job share the volume, so both run where it is."""
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": {HOST_LABEL: placement.platform},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "securityContext": pod_security(_USER),
        "containers": list(containers),
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "script", "configMap": {"name": SCRIPT}},
            {"name": "models", "persistentVolumeClaim": {"claimName": store}},
        ],
    }


_MOUNTS = (
    {"name": "scratch", "mountPath": "/tmp"},
    {"name": "script", "mountPath": _SCRIPT_FOLDER, "readOnly": True},
)

_NO_GPU = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}
"""The image asks for every GPU of its host, which a host with NVIDIA's runtime as the default one would give it."""


def _environment(spec: OllamaSpec, address: str) -> list[dict[str, str]]:
    return [
        # The root file system is read-only; Ollama keeps its key in its home folder.
        {"name": "HOME", "value": "/tmp"},
        {"name": "OLLAMA_HOST", "value": address},
        # Otherwise each start removes what the folder has and no manifest names yet: a download that goes on.
        {"name": "OLLAMA_NOPRUNE", "value": "1"},
        {"name": "OLLAMA_NO_CLOUD", "value": "1"},
        {"name": "MODELS", "value": pinned(spec.models)},
    ]


def _command(action: str) -> list[str]:
    return ["bash", f"{_SCRIPT_FOLDER}/{_SCRIPT_FILE}", action]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
