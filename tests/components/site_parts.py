"""Machines, sites and specs that the tests of several components start from."""

from __future__ import annotations

from typing import Any

from components.host.machine import Machine
from components.host.spec import HardwareProfile, HostSpec, OsSpec
from components.k3s.spec import K3sSpec
from components.view import Site
from stacks.catalogue import catalogue

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGgfvX0m4l3N9oYzVY0m3rT2mJ6k8Qw7p1fZ5c2b9d4e"
VERSION = "v1.36.3+k3s1"


def hardware(name: str = "poweredge-xr4000", **figures: Any) -> HardwareProfile:
    """A profile of the catalogue, with other ``figures`` where a test needs them."""
    return catalogue().hardware[name].model_copy(update=figures)


def host(name: str, address: str, **fields: Any) -> HostSpec:
    return HostSpec.model_validate(
        {"name": name, "hardware": "poweredge-xr4000", "address": address, "host_key": HOST_KEY, **fields}
    )


def machine(
    name: str,
    address: str = "10.0.0.11",
    *,
    site: str = "site",
    distribution: str = "flatcar",
    os: OsSpec | None = None,
    figures: dict[str, Any] | None = None,
    **fields: Any,
) -> Machine:
    """A host as parts see it; ``figures`` are those of its hardware that differ from the profile's."""
    spec = host(name, address, **fields)
    return Machine(
        index=0,
        node=f"{site}-{name}",
        spec=spec,
        os=os or OsSpec.model_validate({"distribution": distribution}),
        hardware=hardware(spec.hardware, **(figures or {})),
        accelerators=catalogue().accelerators_of(spec),
    )


def site_of(*machines: Machine, **fields: Any) -> Site:
    """A site as its parts see it."""
    return Site(**{"name": "site", "tier": "near", "region": "eu-central", "machines": machines, **fields})


def k3s(**fields: Any) -> K3sSpec:
    return K3sSpec.model_validate(
        {
            "version": VERSION,
            "releases": {
                VERSION: {"amd64": "a" * 64, "arm64": "b" * 64},
                "v1.37.1+k3s1": {"amd64": "c" * 64, "arm64": "d" * 64},
            },
            **fields,
        }
    )


SERVERS = [machine("a", "10.0.0.11"), machine("b", "10.0.0.12"), machine("c", "10.0.0.13")]
AGENT = machine("d", "10.0.0.14", role="agent")
"""A site of three servers and an agent behind 10.0.0.10."""
