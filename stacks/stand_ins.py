"""Values that stand in for faulty ones of a site file, so that its rules are checked in the same run.

Owns for which fields there is such a value: one about which no rule says anything that the file did not cause. Leaving
a part out never makes a rule speak; a host without the accelerator that was mistyped would.
"""

from __future__ import annotations

import base64
from typing import Any

from sitefile.problems import DataPath
from sitefile.validation import REMOVED

_OPTIONAL = (
    *("labels", "description", "latency_ms", "ssh", "uplink", "economics"),
    *("network", "mesh", "gitops", "telemetry", "inference", "registrations"),
)
_OF_K3S = ("tls_sans", "node_labels", "pod_max_pids", "registries", "embedded_registry", "flannel_backend", "mirror")


def stand_in(path: DataPath) -> tuple[DataPath, Any] | None:
    """See ``sitefile.validation.StandIn``."""
    match path:
        case (key, *_) if key in _OPTIONAL:
            return (key,), REMOVED
        case ("site" | "region", *_):
            return path[:1], "unknown"
        case ("hosts", int(index), "name"):
            return path, f"unnamed-{index}"
        case ("hosts", int(index), "address"):
            return path, f"host-{index}.invalid"
        case ("hosts", int(index), "host_key"):
            return path, _host_key(index)
        case ("hosts", int(), "labels" | "reapply", *_):
            return path[:3], REMOVED
        case ("k3s", "api_address"):
            return path, "api.invalid"
        case ("k3s", key, *_) if key in _OF_K3S:
            return path[:2], REMOVED
        case ("k3s", "datastore", "snapshot_schedule" | "snapshot_retention"):
            return path, REMOVED
        case ("os", "updates" | "ntp_servers", *_):
            return path[:2], REMOVED
    return None


def _host_key(index: int) -> str:
    """A key that no other host has."""
    fields = (b"ssh-ed25519", index.to_bytes(32, "big"))
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"
