"""NVIDIA's driver and container runtime from Debian packages, before K3s looks for them. Pure.

Does not judge whether they are enough for the models: the parts' own checks do, in the gate that runs after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.expected import Expected, file
from components.host.machine import Machine
from components.host.nvidia_spec import DRIVER_PACKAGE, NvidiaPackages
from components.shell import Script, fragment, here_document, render

ROLE = "nvidia"
_SOURCES = "/etc/apt/sources.list.d/edge-nvidia.sources"
_PREFERENCES = "/etc/apt/preferences.d/edge-nvidia"


@dataclass(frozen=True)
class NvidiaPlan:
    """Scripts for one host."""

    install: str
    """Installs what is missing, and looks whether the driver is loaded."""
    remove: str
    """Gives the packages back to the system's updates. They stay."""
    expected: tuple[Expected, ...]
    """What ``install`` leaves."""


def wanted(machine: Machine) -> NvidiaPackages | None:
    """What is installed on a host; None where it has no use for it."""
    has_gpu = any(found.kind == "nvidia-gpu" for found in machine.accelerators.values())
    return machine.os.nvidia if has_gpu and machine.system.apt else None


def gate(machine: Machine) -> Script:
    """The piece of the host's first gate that tells the others that something comes yet: ``nvidia_comes``."""
    spec = wanted(machine)
    return fragment("host/nvidia_gate.sh.j2", **_shared(machine, spec)) if spec else Script("")


def plan(machine: Machine) -> NvidiaPlan | None:
    """None for a host that gets nothing."""
    spec = wanted(machine)
    if spec is None:
        return None
    keys = {f"/etc/apt/keyrings/edge-nvidia-{index}.asc": one.key for index, one in enumerate(spec.repositories)}
    blocks = [_block(one, path) for one, path in zip(spec.repositories, keys, strict=True)]
    files = keys | ({_SOURCES: "\n".join(blocks)} if blocks else {}) | {_PREFERENCES: _preferences(spec)}
    shared = _shared(machine, spec)
    return NvidiaPlan(
        install=render(
            "host/nvidia_install.sh.j2",
            **shared,
            files={path: here_document(text) for path, text in files.items()},
            sources=_SOURCES if blocks else None,
            driver_packages=[name for name in spec.packages if DRIVER_PACKAGE.match(name)],
        ),
        remove=render("host/nvidia_remove.sh.j2", **shared, kubernetes_node=machine.kubernetes_node, paths=list(files)),
        expected=(
            *(one for path, text in files.items() for one in file(path, "0644", text)),
            *(Expected("package", name, version) for name, version in spec.packages.items()),
        ),
    )


def _shared(machine: Machine, spec: NvidiaPackages) -> dict[str, Any]:
    return {
        "node": machine.node,
        "pins": [f"{name}={version}" for name, version in spec.packages.items()],
        "held": [*spec.packages, *spec.hold],
        "driver": spec.driver,
        "dkms": spec.built_on_host,
    }


def _block(repository: Any, key: str) -> str:
    lines = ["Types: deb", f"URIs: {repository.url}", f"Suites: {repository.suite}"]
    lines += [f"Components: {' '.join(repository.components)}"] if repository.components else []
    return "".join(f"{line}\n" for line in [*lines, f"Signed-By: {key}"])


def _preferences(spec: NvidiaPackages) -> str:
    # More than 1000: an older version is taken, too, and no other one ever.
    return "\n".join(
        f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n" for name, version in spec.packages.items()
    )
