"""The way out of pods: they see neither the environment nor the store of their host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.egress import Egress
from components.manifests import Manifest

SECRET = "edge-egress"
AUTHORITIES = "edge-trusted-cas"
FOLDER = "/etc/edge-trusted-cas"
BUNDLE = f"{FOLDER}/ca.pem"
MARK = "checksum/egress"
"""Annotation of pods. A pod reads its variables and its authorities when it starts."""


def objects(egress: Egress, namespace: str, variables: Any) -> Mapping[str, Manifest]:
    """What the pods of ``namespace`` need, by role; nothing where nothing is said about the way out."""
    found: dict[str, Manifest] = {}
    if egress.proxy:
        found["egress"] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": namespace},
            "type": "Opaque",
            "stringData": variables,
        }
    if egress.authorities:
        found["trusted-cas"] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": AUTHORITIES, "namespace": namespace},
            "data": {"ca.pem": egress.bundle},
        }
    return found


def container(egress: Egress) -> dict[str, Any]:
    """Fields of a container: its variables, and where it finds the authorities."""
    fields: dict[str, Any] = {}
    if egress.proxy:
        fields["envFrom"] = [{"secretRef": {"name": SECRET}}]
    if egress.authorities:
        fields["volumeMounts"] = [{"name": AUTHORITIES, "mountPath": FOLDER, "readOnly": True}]
    return fields


def volumes(egress: Egress) -> list[dict[str, Any]]:
    """Volumes of a pod."""
    return [{"name": AUTHORITIES, "configMap": {"name": AUTHORITIES}}] if egress.authorities else []


def of_go(egress: Egress) -> list[dict[str, str]]:
    """Variables of a program in Go that has no setting of its own for authorities: ours beside those of its image."""
    # Only the folders are another list: Go still reads the bundle of the image, whose path is not among them.
    return [{"name": "SSL_CERT_DIR", "value": f"/etc/ssl/certs:{FOLDER}"}] if egress.authorities else []
