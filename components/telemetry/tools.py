"""What a collector's pod has beside it: a look at the queue's files before it starts, and the host's sensors.

Pure. The collector's image has no shell, so both are scripts in an image with busybox, without any right of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.restricted import container_security

PORT = 9464
"""Of the host's metrics, on the pod's own loopback."""
METRICS_PATH = "/cgi-bin/host-metrics"

_FOLDER = "/opt/otel-tools"
_CHECK_QUEUE = "check-queue"
_HOST_METRICS = METRICS_PATH.rpartition("/")[2]
_HERE = Path(__file__).parent


def scripts(*, host_health: bool = False) -> dict[str, str]:
    """By key in the ConfigMap. With ``host_health``, what the host itself has measured is served too."""
    measures = (_HERE / "host_metrics.sh").read_text()
    if host_health:
        measures += (_HERE / "host_health_read.sh").read_text()
    return {_CHECK_QUEUE: (_HERE / "check_queue.sh").read_text(), _HOST_METRICS: measures}


def checks_queue(image: str, queue: Mapping[str, Any]) -> dict[str, Any]:
    """Init container: moves what the collector cannot open out of its way. ``queue`` is the queue's mount."""
    return _container("check-queue", image, queue, ["sh", f"{_FOLDER}/{_CHECK_QUEUE}", queue["mountPath"]])


def measures_host(image: str, queue: Mapping[str, Any], *folders: Mapping[str, Any]) -> dict[str, Any]:
    """Sidecar: serves the host's metrics to the collector. ``folders`` are mounts of what else it reads."""
    address = f"127.0.0.1:{PORT}"
    probe = {
        "exec": {"command": ["wget", "-q", "-O", "/dev/null", f"http://{address}{METRICS_PATH}"]},
        "periodSeconds": 60,
        "timeoutSeconds": 10,
    }
    served = ["httpd", "-f", "-p", address, "-h", _FOLDER]
    made = _container("host-metrics", image, {**queue, "readOnly": True}, served)
    made["volumeMounts"] += folders
    return {**made, "livenessProbe": probe, "readinessProbe": probe}


def volume(config_map: str) -> dict[str, Any]:
    """The scripts, as files of the ConfigMap that has them."""
    items = [(_CHECK_QUEUE, _CHECK_QUEUE), (_HOST_METRICS, METRICS_PATH.lstrip("/"))]
    return {
        "name": "tools",
        "configMap": {
            "name": config_map,
            "defaultMode": 0o555,
            "items": [{"key": key, "path": path} for key, path in items],
        },
    }


def _container(name: str, image: str, queue: Mapping[str, Any], command: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}},
        "securityContext": container_security(),
        "volumeMounts": [{"name": "tools", "mountPath": _FOLDER, "readOnly": True}, dict(queue)],
    }
