"""All that the lab's tests build on a machine, made before the first of them: `make lab-programs`.

A build takes all cores for minutes. Beside one, hosts answer late, and what a test waits for comes after its deadline.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from engine.obtain.pin import EngineError
from lab import device_plugin, pod_security, yaml_host
from lab.gitops import build as gitops
from lab.hosts.image import image
from lab.hosts.system import LabError
from lab.inference import server
from lab.kubernetes import build as kubernetes
from lab.mesh import programs as mesh
from lab.oci import build as oci
from lab.providers import official
from lab.telemetry import collector, prometheus

BUILDS: Mapping[str, Callable[[], object]] = {
    "hosts' root file system": lambda: image(lambda text: print(text, file=sys.stderr)),
    "k3s": kubernetes.build,
    "k3s, its next release": lambda: kubernetes.build(kubernetes.NEXT),
    "gitops": gitops.build,
    "kustomize": gitops.kustomize,
    "headscale": mesh.headscale,
    "tailscale": lambda: mesh.tailscale("tailscale"),
    "tailscaled": lambda: mesh.tailscale("tailscaled"),
    "collector": collector.program,
    "prometheus": lambda: prometheus.program("prometheus"),
    "promtool": lambda: prometheus.program("promtool"),
    "tritonserver": server.root,
    "device plugin": device_plugin.programs,
    "crane": oci.crane,
    "pod security": pod_security.program,
    "YAML host": yaml_host.folder,
    "Kubernetes plugin": official.kubernetes_plugin,
}
"""What is built, and what builds it where it is not in the cache."""


def main() -> int:
    """Build what is missing. A program that cannot be built is named, and the others are built all the same."""
    failed = 0
    for name, build in BUILDS.items():
        try:
            build()
        except (EngineError, LabError) as error:
            failed = 1
            print(f"error: the lab's {name} cannot be built: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
