"""A folder of a host that its collector may read, without hostPath: a volume of the cluster. Pure.

Of one host, read only whoever mounts it, and reserved for the claim of that host's collector (docs/decisions/0002).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.host.machine import Machine
from components.manifests import Manifest


@dataclass(frozen=True)
class HostFolder:
    """A folder that every host has."""

    name: str
    """Of the volume in the pod, and of the objects for it."""
    path: str
    """On the host, and in the container."""

    def volume(self, machine: Machine, namespace: str) -> Manifest:
        """The folder of one host, read only whoever mounts it, for one claim."""
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"edge-{self._of(machine)}"},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadOnlyMany"],
                "mountOptions": ["ro"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "claimRef": {"namespace": namespace, "name": self._of(machine)},
                "local": {"path": self.path},
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

    def claim(self, machine: Machine, namespace: str) -> Manifest:
        """What the host's collector mounts."""
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": self._of(machine), "namespace": namespace},
            "spec": {
                "accessModes": ["ReadOnlyMany"],
                "storageClassName": "",
                "volumeName": f"edge-{self._of(machine)}",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }

    def mounted(self, machine: Machine) -> dict[str, Any]:
        """The volume of the collector's pod. A volume that is not read only would be given to the pod's group."""
        return {
            "name": self.name,
            "persistentVolumeClaim": {"claimName": self._of(machine), "readOnly": True},
        }

    def mount(self) -> dict[str, Any]:
        """Where a container has it."""
        return {"name": self.name, "mountPath": self.path, "readOnly": True}

    def _of(self, machine: Machine) -> str:
        return f"{self.name}-{machine.installed_name}"
