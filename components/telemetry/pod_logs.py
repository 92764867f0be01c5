"""Logs of pods: how a collector reads them on its host, and what of them it sends.

Pure. The kubelet keeps them in a folder of the host. The restricted Pod Security Standard refuses a hostPath, so the
folder is a volume of the cluster: of one host, read only, reserved for the claim of that host's collector
(docs/decisions/0002).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from components.host.machine import Machine
from components.manifests import Manifest
from components.telemetry.spec import PodLogs
from sitefile.secret_patterns import SECRET_NAME, SECRET_PATTERNS

FOLDER = "/var/log/pods"
RECEIVER = "file_log"
READERS_GROUP = 0
"""containerd makes the files for root and its group (0640)."""

ATTRIBUTES = ("k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "log.iostream")
"""Of a line, with the names of workloads where the site asks for them. All others are dropped: identities that are new
at each start make new streams in a store."""

_LONGEST_LINE = "128KiB"
"""Below the size of a batch."""

_LOOK_AROUND = re.compile(r"\(\?<?[=!][^()]*\)")
_REST_OF_A_KEY = {
    "private key": r"[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|$)",
    "private key in base64": "[A-Za-z0-9+/=]*",
}
_VALUE = r"[^\s\"'`,;&|<>(){}\[\]\\]{8,}"


def volume(machine: Machine, namespace: str) -> Manifest:
    """The folder of one host, read only whoever mounts it, for one claim."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"edge-{_name(machine)}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadOnlyMany"],
            "mountOptions": ["ro"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": namespace, "name": _name(machine)},
            "local": {"path": FOLDER},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {
                                    "key": "kubernetes.io/hostname",
                                    "operator": "In",
                                    "values": [machine.kubernetes_node],
                                }
                            ]
                        }
                    ]
                }
            },
        },
    }


def claim(machine: Machine, namespace: str) -> Manifest:
    """What the host's collector mounts."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": _name(machine), "namespace": namespace},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
            "volumeName": f"edge-{_name(machine)}",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def mounted(machine: Machine) -> dict[str, Any]:
    """The volume of the collector's pod. A volume that is not read only would be given to the pod's group."""
    return {"name": "pod-logs", "persistentVolumeClaim": {"claimName": _name(machine), "readOnly": True}}


def mount() -> dict[str, Any]:
    """Where the collector has it: the files' paths say whose they are."""
    return {"name": "pod-logs", "mountPath": FOLDER, "readOnly": True}


def receiver(logs: PodLogs, own_namespace: str) -> dict[str, Any]:
    """Reads the files from where it was before a restart. What the queue has no room for waits in the files."""
    excluded = (own_namespace, *logs.exclude_namespaces)
    return {
        "include": [f"{FOLDER}/*/*/*.log"],
        # Its own would be fed by their own sending.
        "exclude": [f"{FOLDER}/{namespace}_*/*/*.log" for namespace in excluded],
        "include_file_path": True,
        "include_file_name": False,
        # Else what a pod wrote before it was seen would be lost. Where a file is known, reading goes on.
        "start_at": "beginning",
        "storage": "file_storage",
        # Each poll writes where it is to the disk.
        "poll_interval": "5s",
        "max_log_size": _LONGEST_LINE,
        "retry_on_failure": {
            "enabled": True,
            "initial_interval": "5s",
            "max_interval": "60s",
            "max_elapsed_time": "0s",
        },
        "operators": [{"type": "container", "format": "containerd", "max_log_size": _LONGEST_LINE}],
    }


def redaction(attributes: Sequence[str]) -> dict[str, Any]:
    """What looks like a secret becomes asterisks, and only ``attributes`` stay."""
    return {
        "allow_all_keys": False,
        "allowed_keys": [*attributes],
        # A `$` would begin a variable of the collector's configuration.
        "blocked_values": [expression.replace("$", "$$") for expression in secrets().values()],
        "summary": "silent",
    }


def secrets() -> Mapping[str, str]:
    """By its kind, what a secret in a line looks like, as Go's regular expressions say it: they cannot look around."""
    found = {
        f"{pattern.name} {pattern.marker}": _LOOK_AROUND.sub("", pattern.expression.pattern)
        + _REST_OF_A_KEY.get(pattern.name, "")
        for pattern in SECRET_PATTERNS
    }
    found["line of a key"] = r"^\s*[A-Za-z0-9+/]{60,76}={0,2}\s*$"
    found["HTTP authorization"] = rf"(?i)\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic)\s+{_VALUE}"
    found["named secret"] = rf"(?i)(?:{SECRET_NAME})[\"']?\s*[:=]\s*[\"']?{_VALUE}"
    return found


def _name(machine: Machine) -> str:
    return f"pod-logs-{machine.installed_name}"
