"""NVIDIA's device plugin, which offers GPUs to the cluster's pods: whichever server uses them. Pure."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

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

    time_slices: Annotated[int, Field(ge=1, le=32)] = 1
    """How many servers may use one GPU by turns. They share its memory, and nothing holds one to its part: what their
    models need is counted together. 1: each has a GPU of its own."""

    discovery: Literal["nvml", "tegra"] | None = None
    """How the plugin finds devices: by the driver's library, or as on Jetsons. Without it, it looks itself."""

    @model_validator(mode="after")
    def _one_place(self) -> DevicePluginSpec:
        if self.chart.startswith("oci://") != (self.repository is None):
            raise ValueError("expected a chart name with `repository`, or an oci:// chart with `repository: null`")
        return self


def values(spec: DevicePluginSpec, *, mig: bool = False) -> dict[str, Any]:
    """Helm values: NVIDIA's runtime, and only on labelled nodes. ``mig``: GPUs of some host are cut into parts."""
    found: dict[str, Any] = {
        "runtimeClassName": "nvidia",
        "nodeSelector": {GPU_LABEL: "true"},
        "resources": {
            "requests": {"cpu": "20m", "memory": "64Mi"},
            "limits": {"cpu": "200m", "memory": "256Mi"},
        },
    }
    if spec.discovery:
        found["deviceDiscoveryStrategy"] = spec.discovery
    if spec.time_slices > 1:
        # With a configuration the chart adds the capability SYS_ADMIN, unless these two say that nothing needs it.
        found |= {"migStrategy": "none", "deviceListStrategy": "envvar"}
        # The chart reads YAML, which JSON is.
        found["config"] = {"map": {"default": json.dumps(_sharing(spec.time_slices))}}
    if mig:
        # `single` offers parts as `nvidia.com/gpu`, and whole GPUs of hosts without MIG too: what servers ask for stays
        # as it is. The chart then has the container runtime show the plugin all parts (NVIDIA_MIG_MONITOR_DEVICES),
        # which it does for containers with SYS_ADMIN only. The chart would leave it the default capabilities, too.
        found |= {"migStrategy": "single", "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}}
    if spec.image:
        # The chart joins repository and tag with a colon, which is also what a digest has before its hex digits.
        repository, _, digest = spec.image.rpartition(":")
        found["image"] = {"repository": repository, "tag": digest}
    return found


def _sharing(replicas: int) -> dict[str, Any]:
    """The plugin's own configuration. A pod that asks for two slices would not get more of a GPU: it is refused."""
    slices = {"failRequestsGreaterThanOne": True, "resources": [{"name": "nvidia.com/gpu", "replicas": replicas}]}
    return {"version": "v1", "sharing": {"timeSlicing": slices}}


def chart(spec: DevicePluginSpec, *, mig: bool = False) -> HelmRelease:
    """The Helm release of the plugin."""
    return HelmRelease(
        name="nvidia-device-plugin",
        chart=spec.chart,
        repository=spec.repository,
        version=spec.version,
        namespace="kube-system",
        values=values(spec, mig=mig),
    )
