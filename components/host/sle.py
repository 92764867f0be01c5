"""SUSE Linux Enterprise Server, and openSUSE Leap, which is built from its sources. SLE Micro is another system: its
root is read-only."""

from __future__ import annotations

from collections.abc import Sequence

from components.host.operating_system import (
    NVIDIA_PACKAGES,
    HostFile,
    OperatingSystem,
    TimeService,
    TrustStore,
    Updates,
)
from components.shell import Script


def _chrony(servers: Sequence[str]) -> HostFile:
    # Read beside chrony.conf, whose own servers stay as a fallback.
    lines = "".join(f"server {server} iburst prefer\n" for server in servers)
    return HostFile("/etc/chrony.d/50-edge.conf", lines)


_UPDATES = Updates(
    program="zypper",
    package="zypper",
    # Patches that need a reboot count as interactive. 100 to 107 tell of what was done; 103: zypper itself is new.
    install=Script(
        "patch() {\n"
        "  local code=0\n"
        "  zypper --non-interactive patch --with-interactive --auto-agree-with-licenses || code=$?\n"
        '  case $code in 103) return 103 ;; 0 | 10[0-7]) return 0 ;; *) return "$code" ;; esac\n'
        "}\n"
        'patch || { [ "$?" = 103 ] && patch; }'
    ),
    reboot_needed=Script('local code=0; zypper --quiet needs-rebooting >/dev/null || code=$?; [ "$code" = 102 ]'),
)

SYSTEM = OperatingSystem(
    name="sle",
    title="SUSE Linux Enterprise",
    ids=("sles", "opensuse-leap"),
    nvidia=NVIDIA_PACKAGES,
    releases=("15", "16"),
    time=(TimeService("chronyd", _chrony),),
    first_boot="cloud-init",
    updates=_UPDATES,
    trust_store=TrustStore(
        "/etc/pki/trust/anchors", ".pem", ("update-ca-certificates",), "the package ca-certificates"
    ),
)
