"""SUSE Linux Enterprise Server, and openSUSE Leap, which is built from its sources. SLE Micro is another system: its
root is read-only."""

from __future__ import annotations

from collections.abc import Sequence

from components.host.operating_system import HostFile, OperatingSystem, TimeService, TrustStore


def _chrony(servers: Sequence[str]) -> HostFile:
    # Read beside chrony.conf, whose own servers stay as a fallback.
    lines = "".join(f"server {server} iburst prefer\n" for server in servers)
    return HostFile("/etc/chrony.d/50-edge.conf", lines)


SYSTEM = OperatingSystem(
    name="sle",
    title="SUSE Linux Enterprise",
    ids=("sles", "opensuse-leap"),
    releases=("15", "16"),
    time=(TimeService("chronyd", _chrony),),
    first_boot="cloud-init",
    trust_store=TrustStore(
        "/etc/pki/trust/anchors", ".pem", ("update-ca-certificates",), "the package ca-certificates"
    ),
)
