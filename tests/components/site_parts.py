"""Hosts and specs that the tests of several components start from."""

from __future__ import annotations

from typing import Any

from components.host.spec import HardwareProfile, HostSpec, OsSpec
from components.k3s.plan import Node
from components.k3s.spec import K3sSpec
from stacks.catalogue import catalogue

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGgfvX0m4l3N9oYzVY0m3rT2mJ6k8Qw7p1fZ5c2b9d4e"
VERSION = "v1.36.3+k3s1"


def hardware(name: str = "poweredge-xr4000") -> HardwareProfile:
    return catalogue().hardware[name]


def host(name: str, address: str, **fields: Any) -> HostSpec:
    return HostSpec.model_validate(
        {"name": name, "hardware": "poweredge-xr4000", "address": address, "host_key": HOST_KEY, **fields}
    )


def node(name: str, address: str, **fields: Any) -> Node:
    return Node(f"site-{name}", host(name, address, **fields), OsSpec(), "amd64")


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


SERVERS = [node("a", "10.0.0.11"), node("b", "10.0.0.12"), node("c", "10.0.0.13")]
AGENT = node("d", "10.0.0.14", role="agent")
"""A site of three servers and an agent behind 10.0.0.10."""
