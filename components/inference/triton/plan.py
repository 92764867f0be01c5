"""Triton and its models as Kubernetes objects.

Owns the namespace `edge-inference` and how the server starts. Where it may run is decided in ``placement``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components import ports, urls
from components.inference.device_plugin import GPU_LABEL, DevicePluginSpec
from components.inference.needs import Platform
from components.inference.placement import Load, Placement, Server
from components.inference.triton.contract import model_files
from components.inference.triton.spec import (
    ClaimRepository,
    ImageRepository,
    Model,
    Repository,
    S3Repository,
    TritonSpec,
)
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
from components.view import Scraper

NAMESPACE = "edge-inference"
NAME = "triton"
MODELS = "triton-models"
STORE_CREDENTIALS = "model-store"
HTTP_PORT, GRPC_PORT, METRICS_PORT = 8000, 8001, 8002

SERVER_MEMORY_MIB = 512
"""RAM of a Triton without models, in MiB (assumption for sizing)."""

HOST_LABEL = "edge/inference"
"""Node label of the hosts that fit; its value is the platform."""

INSTALLATION = "edge/installation"
"""Annotation of those hosts: which installation of the machine it is."""

CLIENT_LABEL = "edge/inference-client"
"""Namespaces with this label set to `true` may call the server."""

_ALIVE = """\
exec 3<>/dev/tcp/{loopback}/{port}
printf 'GET /v2/health/live HTTP/1.0\\r\\n\\r\\n' >&3
read -r _ status _ <&3
[ "$status" = 200 ] || exit 1
models=0
for process in /proc/[0-9]*/stat; do
  read -r line <"$process" || continue
  case $line in *'(triton_python_b) '[!ZX]*) models=$((models + 1)) ;; esac
done 2>/dev/null
[ "$models" -ge {models} ]
"""
"""For bash, without which the Python backend starts no model: is the server alive, and a process there for each one?"""

_LISTENS_AT_IPV6 = ("--http-address=ipv6:::", "--grpc-address=[::]")
"""Triton's servers by default listen at 0.0.0.0; that of metrics where that of HTTP does. The prefix is of its HTTP
library, which then takes no IPv4 (libevhtp's `evhtp_bind_socket`); brackets around the address would be no address to
it, and any be listened at."""

USER = 10_001
"""The image's own user is 1000, who is a person on many hosts: `core` on Fedora CoreOS, the first user on Ubuntu."""
_LABELS = {"app.kubernetes.io/name": "triton", "app.kubernetes.io/component": "inference-server"}
_REPOSITORY = "/models"


@dataclass(frozen=True)
class TritonPlan:
    """Everything that makes a site answer with a model."""

    namespace: Manifest
    network_policies: tuple[Manifest, ...]
    service_account: Manifest
    scrape_access: tuple[Manifest, ...]
    """Role and binding that let the scraper find the server's pods; empty without a scraper."""
    models: Manifest
    deployment: Manifest
    service: Manifest
    device_plugin: DevicePluginSpec | None


def required_secrets(spec: TritonSpec) -> tuple[str, ...]:
    """Config keys without which the site cannot be brought up."""
    if isinstance(spec.repository, S3Repository):
        return ("model-store-access-key", "model-store-secret-key")
    return ()


def server(spec: TritonSpec) -> Server:
    """Triton with its models, as it weighs on a host."""
    on_gpu = spec.device == "gpu"
    return Server(
        title="Triton",
        memory_mib=SERVER_MEMORY_MIB + (spec.shared_memory_mib or 0),
        loads=tuple(Load(model.name, model.gpu if on_gpu else model.cpu) for model in spec.contracts),
        device=spec.device,
        replicas=spec.replicas,
    )


def plan(triton: TritonSpec, placement: Placement, *, scraper: Scraper | None, ipv6: bool = False) -> TritonPlan:
    """The objects for models that were placed, in a cluster whose pods are known by IPv4 or by ``ipv6`` addresses.

    Raises ValueError when the platform has no image.
    """
    models = triton.contracts
    image = _image(triton, placement.platform)
    on_gpu = triton.device == "gpu"
    return TritonPlan(
        namespace=namespace(NAMESPACE),
        network_policies=(default_deny(NAMESPACE), _allowed(triton, scraper)),
        service_account=service_account(NAME, NAMESPACE),
        scrape_access=_scrape_access(scraper) if scraper else (),
        models={
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": MODELS, "namespace": NAMESPACE},
            "data": model_files(models, on_gpu=on_gpu),
        },
        deployment=_deployment(triton, placement.platform, image, ipv6=ipv6),
        service=_service(),
        device_plugin=triton.device_plugin if on_gpu else None,
    )


def host_labels(placement: Placement, node: str, installation: str, *, on_gpu: bool) -> Manifest:
    """The labels by which the server, and on a GPU the device plugin, find a host that fits.

    A reimaged host is a new Node without them: ``installation`` changes with the host, and has them put on again.
    """
    labels = {HOST_LABEL: placement.platform, **({GPU_LABEL: "true"} if on_gpu else {})}
    annotations = {INSTALLATION: installation}
    metadata = {"name": node, "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "NodePatch", "metadata": metadata}


def store_credentials(access_key: Any, secret_key: Any) -> Manifest:
    """The Secret with the keys of the model store, under the names that the AWS SDK reads."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": STORE_CREDENTIALS, "namespace": NAMESPACE},
        "type": "Opaque",
        "stringData": {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key},
    }


def store_host(repository: S3Repository) -> str:
    """Name or address of the model store. Triton asks AWS by the name of its region, whatever the bucket."""
    return urls.parse(repository.endpoint).host if repository.endpoint else f"s3.{repository.region}.amazonaws.com"


def repository_url(repository: S3Repository) -> str:
    """Triton's spelling of an S3 address: `s3://bucket/path`, or `s3://https://host:port/bucket/path`."""
    if repository.endpoint is None:
        return repository.url
    endpoint = urls.parse(repository.endpoint)
    return f"s3://https://{endpoint.host}:{endpoint.port}/{repository.url.removeprefix('s3://')}"


def _image(triton: TritonSpec, platform: Platform) -> str:
    if platform not in triton.images:
        raise ValueError(
            f"inference.triton.images has no `{platform}` image, which the hosts that fit need; "
            f"it has {', '.join(sorted(triton.images))}"
        )
    return triton.images[platform]


def _needs(models: Sequence[Model], *, on_gpu: bool) -> dict[str, float]:
    """What all models together ask of their host; RAM with the server itself."""
    if not on_gpu:
        needs = [model.cpu for model in models if model.cpu]
        accelerator = {}
    else:
        gpu_needs = [model.gpu for model in models if model.gpu]
        accelerator = {
            "accelerator_memory_mib": sum(need.accelerator_memory_mib for need in gpu_needs),
            "tops_int8": round(sum(need.tops_int8 for need in gpu_needs), 3),
        }
        needs = [*gpu_needs]
    return {
        "memory_mib": SERVER_MEMORY_MIB + sum(need.memory_mib for need in needs),
        "cores": round(sum(need.cores for need in needs), 3),
        "watts": round(sum(need.watts for need in needs), 3),
        **accelerator,
    }


def _allowed(triton: TritonSpec, scraper: Scraper | None) -> Manifest:
    ingress: list[Mapping[str, Any]] = [
        {
            "from": [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {CLIENT_LABEL: "true"}}}],
            "ports": tcp(HTTP_PORT, GRPC_PORT),
        }
    ]
    if scraper:
        ingress.append({"from": from_namespace(scraper.namespace), "ports": tcp(METRICS_PORT)})
    egress: list[Mapping[str, Any]] = []
    if isinstance(triton.repository, S3Repository):
        port = urls.parse(triton.repository.endpoint).port if triton.repository.endpoint else ports.HTTPS
        egress = [DNS, {"ports": tcp(port)}]
    return allow(NAMESPACE, _LABELS, ingress=ingress, egress=egress)


def _scrape_access(scraper: Scraper) -> tuple[Manifest, ...]:
    name = "find-inference-servers"
    return (
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": scraper.service_account, "namespace": scraper.namespace}],
        },
    )


def _service() -> Manifest:
    offered = [
        {"name": "http", "port": HTTP_PORT, "targetPort": "http"},
        {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc", "appProtocol": "grpc"},
        {"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS},
        "spec": {"type": "ClusterIP", "selector": _LABELS, "ports": offered},
    }


def _deployment(triton: TritonSpec, platform: Platform, image: str, *, ipv6: bool) -> Manifest:
    on_gpu = triton.device == "gpu"
    files = model_files(triton.contracts, on_gpu=on_gpu)
    pod: dict[str, Any] = {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": {HOST_LABEL: platform},
        "securityContext": pod_security(USER),
        "terminationGracePeriodSeconds": 60,
        "containers": [_container(triton, image, ipv6=ipv6)],
        "volumes": _volumes(triton),
    }
    if on_gpu:
        pod["runtimeClassName"] = "nvidia"
        pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    if triton.replicas > 1:
        pod["affinity"] = {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": {"matchLabels": _LABELS}, "topologyKey": "kubernetes.io/hostname"}
                ]
            }
        }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS},
        "spec": {
            "replicas": triton.replicas,
            "revisionHistoryLimit": 2,
            # Models may take long to load: about as long as the startup probe allows.
            "progressDeadlineSeconds": 1200,
            "strategy": _strategy(triton.replicas),
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS, "annotations": {"checksum/models": _checksum(files)}},
                "spec": pod,
            },
        },
    }


def _strategy(replicas: int) -> dict[str, Any]:
    """The old server gives up its GPU, or its place on the host, before the new one asks for it."""
    if replicas == 1:
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


def _checksum(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _container(triton: TritonSpec, image: str, *, ipv6: bool) -> dict[str, Any]:
    needs = _needs(triton.contracts, on_gpu=triton.device == "gpu")
    # What lies in /dev/shm counts as the container's memory.
    memory = f"{int(needs['memory_mib']) + (triton.shared_memory_mib or 0)}Mi"
    milli_cores = max(100, int(needs["cores"] * 1000))
    limits = {"cpu": f"{2 * milli_cores}m", "memory": memory}
    if triton.device == "gpu":
        limits["nvidia.com/gpu"] = "1"
    ready = {"httpGet": {"path": "/v2/health/ready", "port": "http"}, "periodSeconds": 10, "timeoutSeconds": 5}
    repository = triton.repository
    from_s3 = isinstance(repository, S3Repository)
    return {
        "name": "triton",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["tritonserver"],
        "args": [
            f"--model-repository={repository_url(repository) if isinstance(repository, S3Repository) else _REPOSITORY}",
            "--model-control-mode=explicit",
            *(f"--load-model={model.name}" for model in triton.contracts),
            f"--http-port={HTTP_PORT}",
            f"--grpc-port={GRPC_PORT}",
            f"--metrics-port={METRICS_PORT}",
            *(_LISTENS_AT_IPV6 if ipv6 else ()),
            "--strict-readiness=true",
        ],
        "env": [
            # The root file system is read-only; caches go where writing is allowed.
            {"name": "HOME", "value": "/tmp"},
            *(_store_environment(repository) if isinstance(repository, S3Repository) else []),
        ],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT},
            {"name": "grpc", "containerPort": GRPC_PORT},
            {"name": "metrics", "containerPort": METRICS_PORT},
        ],
        "startupProbe": {**ready, "failureThreshold": 90},
        "livenessProbe": {
            **_alive(triton.contracts, ipv6=ipv6),
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
            # What is not alive finishes nothing: there is no use in waiting for it.
            "terminationGracePeriodSeconds": 5,
        },
        "readinessProbe": ready,
        "resources": {"requests": {"cpu": f"{milli_cores}m", "memory": memory}, "limits": limits},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "scratch", "mountPath": "/tmp"},
            *([{"name": "shared-memory", "mountPath": "/dev/shm"}] if triton.shared_memory_mib else []),
            *([] if from_s3 else _model_mounts(triton)),
        ],
    }


def _alive(models: Sequence[Model], *, ipv6: bool) -> dict[str, Any]:
    """How to tell that only a restart helps.

    A Python model is a process of its own. When that dies, the server neither starts it again nor calls itself less
    than ready, and refuses every inference from then on (triton-inference-server/server#8604).
    """
    processes = sum(model.backend == "python" for model in models)
    if not processes:
        return {"httpGet": {"path": "/v2/health/live", "port": "http"}}
    asks = _ALIVE.format(loopback="::1" if ipv6 else "127.0.0.1", port=HTTP_PORT, models=processes)
    return {"exec": {"command": ["bash", "-c", asks]}}


def _store_environment(repository: S3Repository) -> list[dict[str, Any]]:
    keys = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": STORE_CREDENTIALS, "key": name}}}
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    ]
    return [{"name": "AWS_DEFAULT_REGION", "value": repository.region}, *keys]


def _model_mounts(triton: TritonSpec) -> list[dict[str, Any]]:
    """One model folder from two places: the contract from here, the version from an image or a claim.

    A mount point cannot be made inside a volume that is read-only, so the repository itself is an empty, writable
    one; the runtime makes `<model>/config.pbtxt` and `<model>/<version>` in it to mount on. A model with a contract of
    its own is mounted whole.
    """
    mounts: list[dict[str, Any]] = [{"name": "repository", "mountPath": _REPOSITORY}]
    for model in triton.contracts:
        folder = f"{_REPOSITORY}/{model.name}"
        if model.configuration == "repository":
            mounts.append({"name": "versions", "mountPath": folder, "subPath": model.name, "readOnly": True})
            continue
        mounts += [
            {
                "name": "contracts",
                "mountPath": f"{folder}/config.pbtxt",
                "subPath": f"{model.name}.pbtxt",
                "readOnly": True,
            },
            {
                "name": "versions",
                "mountPath": f"{folder}/{model.version}",
                "subPath": f"{model.name}/{model.version}",
                "readOnly": True,
            },
        ]
    return mounts


def _volumes(triton: TritonSpec) -> list[dict[str, Any]]:
    found = _repository_volumes(triton.repository)
    if size := triton.shared_memory_mib:
        found.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": f"{size}Mi"}})
    return found


def _repository_volumes(repository: Repository) -> list[dict[str, Any]]:
    if isinstance(repository, S3Repository):
        # Triton copies what it loads to its temporary folder.
        return [{"name": "scratch", "emptyDir": {"sizeLimit": "8Gi"}}]
    versions: dict[str, Any]
    match repository:
        case ImageRepository():
            versions = {"image": {"reference": repository.reference, "pullPolicy": "IfNotPresent"}}
        case ClaimRepository():
            versions = {"persistentVolumeClaim": {"claimName": repository.name, "readOnly": True}}
    return [
        {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "repository", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "contracts", "configMap": {"name": MODELS}},
        {"name": "versions", **versions},
    ]
