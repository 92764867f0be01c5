"""NVIDIA's device plugin, which offers GPUs to the cluster's pods: whichever server uses them. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from components.manifests import HelmRelease
from components.specs import Spec
from components.types import HttpsUrl, ImageRef, NonEmpty, SemVer

GPU_LABEL = "nvidia.com/gpu.present"
"""Node label that the device plugin's DaemonSet asks for."""


class DevicePluginSpec(Spec):
    """NVIDIA's device plugin, which offers a host's GPUs to the cluster."""

    version: SemVer
    """Exact version of the Helm chart."""

    chart: NonEmpty = "nvidia-device-plugin"
    """Chart in `repository`, or the oci:// address of a mirror."""

    repository: HttpsUrl | None = "https://nvidia.github.io/k8s-device-plugin"
    """Chart repository; null when `chart` is an oci:// address."""

    image: ImageRef | None = None
    """Image with its digest, instead of the one that the chart names."""

    @model_validator(mode="after")
    def _one_place(self) -> DevicePluginSpec:
        if self.chart.startswith("oci://") != (self.repository is None):
            raise ValueError("expected a chart name with `repository`, or an oci:// chart with `repository: null`")
        return self


def values(spec: DevicePluginSpec) -> dict[str, Any]:
    """Helm values: NVIDIA's runtime, and only on labelled nodes."""
    found: dict[str, Any] = {
        "runtimeClassName": "nvidia",
        "nodeSelector": {GPU_LABEL: "true"},
        "resources": {
            "requests": {"cpu": "20m", "memory": "64Mi"},
            "limits": {"cpu": "200m", "memory": "256Mi"},
        },
    }
    if spec.image:
        # The chart joins repository and tag with a colon, which is also what a digest has before its hex digits.
        repository, _, digest = spec.image.rpartition(":")
        found["image"] = {"repository": repository, "tag": digest}
    return found


def chart(spec: DevicePluginSpec) -> HelmRelease:
    """The Helm release of the plugin."""
    return HelmRelease(
        name="nvidia-device-plugin",
        chart=spec.chart,
        repository=spec.repository,
        version=spec.version,
        namespace="kube-system",
        values=values(spec),
    )
