"""Logs of pods: how a collector reads them on its host, and what of them it sends.

Pure. The kubelet keeps them in a folder of the host, which is a volume of the cluster (``host_folder``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from components.telemetry.host_folder import HostFolder
from components.telemetry.spec import PodLogs
from sitefile.secret_patterns import SECRET_NAME, SECRET_PATTERNS

FOLDER = HostFolder("pod-logs", "/var/log/pods")
"""The kubelet's. The files' paths say whose they are."""
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


def receiver(logs: PodLogs, own_namespace: str) -> dict[str, Any]:
    """Reads the files from where it was before a restart. What the queue has no room for waits in the files."""
    excluded = (own_namespace, *logs.exclude_namespaces)
    return {
        "include": [f"{FOLDER.path}/*/*/*.log"],
        # Its own would be fed by their own sending.
        "exclude": [f"{FOLDER.path}/{namespace}_*/*/*.log" for namespace in excluded],
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
