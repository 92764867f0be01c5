"""A pod of the lab's probe image, for tests of networks and admission."""

from __future__ import annotations

import json

from lab.kubernetes import build


def pod(name: str, *, host: str, command: tuple[str, ...] = ("serve",), privileged: bool = False) -> str:
    """A pod of the probe image, pinned to a host; restricted unless ``privileged``."""
    security: dict[str, object] = (
        {"privileged": True}
        if privileged
        else {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    )
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "nodeName": f"lab-{host}",
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "probe",
                        "image": build.PROBE_IMAGE,
                        "imagePullPolicy": "Never",
                        "args": list(command),
                        "securityContext": security,
                    }
                ],
            },
        }
    )
