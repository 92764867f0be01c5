"""NVIDIA's device plugin and its chart, from the Go module pinned in device_plugin/, and a kubelet's side of it.

The module's chart is rendered by the real `helm`; the real plugin then runs with the environment and the configuration
that the chart gives it, in a mount namespace (root). Without a GPU it reads its configuration and ends, unless it is
told to look for a Tegra: then it offers one without asking any driver.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.builds import STATIC, go_program, module_folder, pinned
from lab.gitops.build import helm

_SOURCE = Path(__file__).with_suffix("")
_MODULE = "github.com/NVIDIA/k8s-device-plugin"
# Symbols of NVIDIA's library are looked up when they are called: it is not there when the program starts.
_WITH_C = {**STATIC, "CGO_ENABLED": "1"}
_LINK = "-s -w -extldflags=-Wl,-z,lazy"
_SOCKETS = "/var/lib/kubelet/device-plugins"
_IN_NAMESPACE = ("unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child")
_RUN = f'mount -t tmpfs tmpfs /var/lib && mkdir -p {_SOCKETS} && exec "$@"'


@dataclass(frozen=True)
class Heard:
    """What the plugin made of the chart."""

    config: dict[str, Any]
    """Its configuration as it has read it: flags, resources and sharing."""
    offer: dict[str, Any] | None
    """`resource`, `devices`, what is `given` to those that ask, and `refused`; None where it found no device."""


def version() -> str:
    """The pinned release, without `v`."""
    return pinned(_SOURCE, _MODULE).removeprefix("v")


def programs() -> tuple[Path, Path]:
    """NVIDIA's device plugin, and the kubelet's side of it. Raises EngineError with one clear line."""
    package, name = f"{_MODULE}/cmd/nvidia-device-plugin", "nvidia-device-plugin"
    plugin = go_program(_SOURCE, package, name, link=_LINK, environment=_WITH_C)
    return plugin, go_program(_SOURCE, ".", "kubelet-of-plugins")


def rendered(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of the chart with these values. Raises CalledProcessError where the chart refuses them."""
    chart = module_folder(_SOURCE, _MODULE) / "deployments" / "helm" / "nvidia-device-plugin"
    command = [str(helm()), "template", "nvidia-device-plugin", str(chart), "--namespace", "kube-system", "-f", "-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=True)
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def plugin_pod(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The pod of the plugin's own DaemonSet."""
    (found,) = (
        one["spec"]["template"]["spec"]
        for one in objects
        if one["kind"] == "DaemonSet" and one["metadata"]["name"] == "nvidia-device-plugin"
    )
    return dict(found)


def heard(objects: Sequence[Mapping[str, Any]]) -> Heard:
    """What the plugin says when it runs as the rendered chart has it. Needs root."""
    (container,) = (one for one in plugin_pod(objects)["containers"] if one["name"] == "nvidia-device-plugin-ctr")
    environment = {one["name"]: one["value"] for one in container["env"]}
    with tempfile.TemporaryDirectory(prefix="edge-plugin-") as folder:
        for one in objects:
            if one["kind"] == "ConfigMap":
                config = Path(folder, "config.yaml")
                config.write_text(one["data"]["default"])
                environment["CONFIG_FILE"] = str(config)
        plugin, kubelet = programs()
        done = subprocess.run(
            [*_IN_NAMESPACE, "bash", "-c", _RUN, "bash", str(kubelet), _SOCKETS, str(plugin)],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    read = re.search(r"^Running with config:\n(\{.*?^\})", done.stderr, re.MULTILINE | re.DOTALL)
    assert read is not None, done.stderr
    return Heard(json.loads(read[1]), json.loads(done.stdout))
