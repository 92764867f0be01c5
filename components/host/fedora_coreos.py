"""Fedora CoreOS."""

from __future__ import annotations

from collections.abc import Sequence

from components.host.operating_system import (
    UPDATE_CA_TRUST,
    HostFile,
    Nvidia,
    OperatingSystem,
    TimeService,
    Updates,
    chrony_conf,
)
from components.shell import Script


def _chrony(servers: Sequence[str]) -> HostFile:
    return HostFile("/etc/chrony.conf", chrony_conf(servers))


_FLEET_LOCK = 4781
"""TCP port on loopback. Source of what is asked and answered there: the FleetLock protocol, version 1."""

_SOCKET = f"""\
[Unit]
Description=Where Zincati asks whether it may reboot this host

[Socket]
ListenStream=127.0.0.1:{_FLEET_LOCK}
Accept=yes

[Install]
WantedBy=sockets.target
"""

_CONFIG = "55-edge-window.toml"
"""The later one of two files, by name, decides."""

_ANSWERER = "/usr/local/bin/edge-fleet-lock"

_SERVICE = f"""\
[Unit]
Description=Answers Zincati: edge-os-updates reboots this host
CollectMode=inactive-or-failed

[Service]
ExecStart={_ANSWERER}
StandardInput=socket
StandardOutput=socket
StandardError=journal
DynamicUser=yes
RuntimeMaxSec=60
"""

_UPDATES = Updates(
    program="rpm-ostree",
    package="an image of Fedora CoreOS",
    # Follows the graph of releases, with the barriers in it, and stages the next one. What is staged under its lock is
    # not taken by a mere reboot.
    service="zincati",
    install=Script(
        'systemctl is-active --quiet zincati ||\n  { say "zincati does not run: nothing stages updates"; exit 1; }'
    ),
    reboot_needed=Script("[ -e /run/ostree/staged-deployment ]"),
    reboot=Script("rpm-ostree finalize-deployment --allow-missing-checksum --allow-unlocked"),
    config=HostFile(
        "/etc/zincati/config.d/55-edge-window.toml",
        f'[updates]\nstrategy = "fleet_lock"\n\n[updates.fleet_lock]\nbase_url = "http://127.0.0.1:{_FLEET_LOCK}/"\n',
    ),
    reads_config="zincati",
    check=Script(
        "for toml in {/run,/etc}/zincati/config.d/*.toml; do\n"
        f'  [ -e "$toml" ] && [[ ${{toml##*/}} > {_CONFIG} ]] || continue\n'
        "  ! grep -qE '^ *(enabled|strategy) *=' \"$toml\" ||\n"
        '    lack "$toml decides over the updates of Zincati, after our own file" '
        '"remove it, or write \\`managed: false\\` below \\`os.updates\\`"\n'
        "done\n"
    ),
    program_of_ours=(_ANSWERER, "host/fleet_lock.sh.j2"),
    units={"edge-fleet-lock.socket": _SOCKET, "edge-fleet-lock@.service": _SERVICE},
)

SYSTEM = OperatingSystem(
    name="fedora-coreos",
    title="Fedora CoreOS",
    ids=("fedora", "fcos"),
    nvidia=Nvidia(
        driver="an image of Fedora CoreOS with the driver layered on it (`rpm-ostree`)",
        toolkit="the package nvidia-container-toolkit of NVIDIA's repository, layered by `rpm-ostree install`",
    ),
    time=(TimeService("chronyd", _chrony),),
    first_boot="ignition",
    smartctl="layer the package smartmontools (`rpm-ostree install`)",
    trust_store=UPDATE_CA_TRUST,
    updates=_UPDATES,
    selinux=True,
    # Clevis runs in the initramfs. Source: Fedora CoreOS' documentation on storage.
    tpm_unlock_memory_mib=4096,
)
