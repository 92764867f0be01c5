"""What makes a site of the lab answer with a model: its image, the model's file on a host, and the site file's block.

The block names the catalogue's model and keeps its tensors; the backend, and what it asks of a host, are the lab's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.inference.triton.plan import NAMESPACE
from components.inference.triton.spec import catalogue
from lab.hosts.host import LabHost
from lab.inference.server import server_image
from lab.oci.artifact import Artifact

MODEL = "yolov9-spatial"
MODEL_FILE = Path(__file__).with_name("model.py")

REGISTRY = "nvcr.io"
_REPOSITORY, _TAG = "nvidia/tritonserver", "26.07-py3"
_CLAIM = "models"
_SIZE = "16Mi"
FOLDER = "/var/lib/models"
"""On a host: `<model>/<version>/`."""

_MANIFESTS = "/var/lib/rancher/k3s/server/manifests"
MANIFEST = f"{_MANIFESTS}/models.yaml"


def images() -> Mapping[str, Mapping[str, Artifact]]:
    """What a registry has to serve in place of ``REGISTRY``: repository -> tag -> image."""
    return {_REPOSITORY: {_TAG: server_image()}}


def block() -> dict[str, Any]:
    """`inference` of a site file."""
    contract = {**catalogue()[MODEL].model_dump(mode="json", exclude={"gpu"}), "backend": "python"}
    needs = {"cores": 0.5, "memory_mib": 512, "watts": 5}
    reference = f"{REGISTRY}/{_REPOSITORY}:{_TAG}@{server_image().digest}"
    return {
        "triton": {
            "models": [{**contract, "source": "the lab's own model: lab/inference/model.py", "cpu": needs}],
            "device": "cpu",
            "repository": {"kind": "claim", "name": _CLAIM},
            "images": {"server": reference},
        }
    }


def prepare(host: LabHost, node: str, *, server: LabHost | None = None) -> None:
    """Puts the model's file on a host before K3s comes, and with K3s' own manifests the volume that offers it there.

    ``server`` is where those manifests are read, if that is another host. The claim is applied once the site has made
    its namespace: K3s tries until then.
    """
    host.run(f"install -d {FOLDER}/{MODEL}/1 && cat >{FOLDER}/{MODEL}/1/model.py", stdin=MODEL_FILE.read_text())
    manifest = yaml.safe_dump_all([_volume(node), _CLAIMED])
    (server or host).run(f"install -d -m 0700 {_MANIFESTS} && cat >{MANIFEST}", stdin=manifest)


_READ_ONLY: dict[str, Any] = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}

_CLAIMED = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": _CLAIM, "namespace": NAMESPACE},
    "spec": {**_READ_ONLY, "volumeName": _CLAIM, "resources": {"requests": {"storage": _SIZE}}},
}


def _volume(node: str) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": _CLAIM},
        "spec": {
            **_READ_ONLY,
            "capacity": {"storage": _SIZE},
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": NAMESPACE, "name": _CLAIM},
            "local": {"path": FOLDER},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
