"""Machines and specs that the tests of Ollama start from."""

from __future__ import annotations

from typing import Any

from components.host.machine import Machine
from components.host.spec import HostSpec, OsSpec
from components.inference.ollama.spec import OllamaSpec
from components.inference.placement import Placement, place
from components.view import Demand, Site
from stacks.catalogue import catalogue
from tests.components.cluster_objects import image

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGgfvX0m4l3N9oYzVY0m3rT2mJ6k8Qw7p1fZ5c2b9d4e"
MISTRAL: dict[str, Any] = {
    "name": "mistral:7b-instruct-q4_K_M",
    "digest": "1a85656b534f84f8ab5b235aa0e24a954769539b0f47a4bd11f5272cba43c892",
    "parameters_billion": 7.25,
    "attention": {"layers": 32, "kv_heads": 8, "head_size": 128},
    "gpu": {"cores": 2, "memory_mib": 1024, "watts": 72, "accelerator_memory_mib": 6144, "tops_int8": 50},
    "cpu": {"cores": 8, "memory_mib": 6144, "watts": 60},
}
EMBED: dict[str, Any] = {
    **MISTRAL,
    "name": "acme/embed:300m-f16",
    "digest": "b" * 64,
    "parameters_billion": None,
    "attention": {"layers": 24, "kv_heads": 3, "head_size": 256},
    "gpu": {**MISTRAL["gpu"], "watts": 20},
}


def spec(**ollama: Any) -> OllamaSpec:
    return OllamaSpec.model_validate({"models": [MISTRAL], "image": image("ollama"), **ollama})


def machine(name: str, hardware: str = "poweredge-xr4000", *accelerators: str) -> Machine:
    host = HostSpec.model_validate(
        {
            "name": name,
            "hardware": hardware,
            "address": "10.0.0.11",
            "host_key": HOST_KEY,
            "accelerators": list(accelerators),
        }
    )
    known = catalogue()
    return Machine(
        index=0,
        node=f"site-{name}",
        spec=host,
        os=OsSpec(),
        hardware=known.hardware[hardware],
        accelerators=known.accelerators_of(host),
    )


A, B = machine("a", "poweredge-xr4000", "nvidia-l4"), machine("b", "poweredge-xr4000", "nvidia-l4")
PLAIN = machine("plain")
JETSON = machine("eye", "jetson-agx-orin")


def site(*machines: Machine, taken: dict[str, Demand] | None = None, time_slices: int = 1) -> Site:
    return Site("site", "near", "eu", machines=machines, taken=taken or {}, time_slices=time_slices)


def placed(server: Any, *machines: Machine) -> Placement:
    found = place(server, machines)
    assert isinstance(found, Placement), found
    return found
